"""The learnt priors of grey movies as configurations name them: of one stage, or a cascade of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from recon.errors.ranges import Whole
from recon.files.scale import Scale, check_scale
from recon.priors import movie_cascade, movie_diffusion
from recon.priors.base import Denoiser
from recon.priors.guidance import Guidance
from recon.priors.movie_cascade import MovieCascade
from recon.priors.movie_diffusion import MovieDiffusion
from recon.priors.prior import Conditioning, PixelPrior, TextSource
from recon.priors.spectrum import Spectrum
from recon.priors.still_images import Still
from recon.priors.text import check_text_encoder
from recon.priors.weights_file import format_of, scale_of

LOADERS: dict[str, Callable[..., MovieDiffusion | MovieCascade]] = {
    movie_diffusion.FORMAT: movie_diffusion.load_movie_diffusion,
    movie_cascade.FORMAT: movie_cascade.load_movie_cascade,
}
"""Loader by format; files of other formats go to the first, which says what it expected."""


def load_movie_prior(
    weights: str | Path, *, window: Whole = 0, precision: Literal["float32", "bfloat16"] = "float32"
) -> MovieDiffusion | MovieCascade:
    """Prior of grey movies of one or two stages, frozen, from a file or a shipped name.

    `window` and `precision` are those of `MovieDiffusion`. Raises InputError if the file is of another kind.
    """
    load = LOADERS.get(format_of(weights, what="a diffusion prior of movies"), movie_diffusion.load_movie_diffusion)
    return load(weights, window=window, precision=precision)


@dataclass(frozen=True)
class Diffusion(PixelPrior):
    """Learnt prior of grey movies: `weights` is a file or a shipped name, `text` the source of its condition, if any.

    Weights are those of one stage, a `MovieDiffusion`, or of two, a `MovieCascade`.

    `guidance` is the scale s of uncond + s·(cond − uncond), or a `Guidance`; text has no effect at s = 0. Clips longer
    than `window` frames are denoised in windows (0: whole clips). With `stills`, and for clips of one frame, frames are
    denoised independently. Movies of another scale than those of its training are refused, unless `any_scale` is set,
    which results then say.
    """

    learnt: ClassVar[bool] = False
    takes_text: ClassVar[bool] = True

    weights: str = "movie_diffusion"
    text: TextSource | None = None
    guidance: float | Guidance = 1.0
    window: Whole = 0
    stills: bool = False
    any_scale: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> Denoiser:
        """Return the denoiser of movies, or of still images, of a shape `[B,C,T,H,W]`."""
        movies = load_movie_prior(self.weights, window=self.window, precision=self.precision)
        return Still(movies) if self.stills or shape[-3] == 1 else movies

    def fit(self, training: Any) -> Self:
        """Fit the caption decoder, if it is the source of the text."""
        return replace(self, text=self.text and self.text.fit(training))

    def check_weights(self, training: Any) -> None:
        """Raise InputError where the weights or the text encoder that they need are absent, or are of another scale."""
        model = load_movie_prior(self.weights)
        if self.text is not None:
            check_text_encoder(model.text)
        if not self.any_scale:
            seen = training.recording
            check_scale(
                scale_of(self.weights, what="a diffusion prior of movies"),
                Scale(seen.frame_size, seen.frame_rate, seen.degrees_per_pixel),
                what=f"prior {self.weights}",
                remedy="take the prior gaussian, which is estimated from the recording, train one (`recon train prior` "
                "with its raster), or set any_scale",
                moving=not self.stills,
            )

    @property
    def pretrained(self) -> str:
        """Weights of the prior, and whether they may be of another scale."""
        return f"{self.weights}, of whatever scale" if self.any_scale else self.weights

    @property
    def conditioning(self) -> Conditioning:
        """Text source and guidance."""
        return Conditioning(self.text, self.guidance)
