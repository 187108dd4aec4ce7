"""A text-conditioned diffusion prior over grey movies in pixel space: D(x, σ, text), for clips of any length."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional

from recon.errors import InputError
from recon.errors.ranges import Whole
from recon.files.scale import Scale, check_scale
from recon.files.weights import check_shapes, described
from recon.priors.base import Denoiser
from recon.priors.movie_unet import MovieUnet, MovieUnetSettings
from recon.priors.overlapping_windows import by_windows
from recon.priors.prior import Conditioning, PixelPrior, TextSource
from recon.priors.spectrum import GaussianDenoiser, Spectrum
from recon.priors.still_images import Still
from recon.priors.text import TextEncoder, check_text_encoder
from recon.priors.weights_file import load_prior, save_prior, scale_of, settings_of

FORMAT = "recon-movie-diffusion-1"
MOVIE_SD, GREY = 0.25, 0.5
"""Standard deviation of movies in [0,1], and mean of the white-spectrum fallback."""

BUFFERS = ("log_power", "mean")
"""The spectrum in a file, beside the network."""


class MovieDiffusion(Denoiser):
    """D = D_P + c·F: the exact denoiser of a Gaussian with the movies' spectrum P, plus a learnt correction F.

    Extends the preconditioning of Karras et al. 2022 (table 1) from the posterior variance of white data to the
    posterior covariance of a Gaussian with spectrum P. The `MovieUnet` F is scaled by c² = mean of Pσ²/(P+σ²), so it
    need not learn the spectrum. Its inputs are the noisy movie and, with two input views, D_P. P refers to clips of the
    length and frame size of `spectrum` and is interpolated for others. Without `spectrum`, P is white and the
    preconditioning is that of Karras et al.

    Conditions are caption embeddings `[B,D]` from the text encoder used in training, or `[B,T,D]`, one per frame; a row
    of NaN means no text. Clips longer than `window` frames are denoised in overlapping, cross-faded windows (0: whole).
    """

    def __init__(
        self,
        settings: MovieUnetSettings | None = None,
        *,
        spectrum: Spectrum | None = None,
        text: str = "minilm",
        window: int = 0,
    ) -> None:
        super().__init__()
        known = spectrum or Spectrum(torch.full((1, 1, 1), MOVIE_SD**2), torch.full((1, 1), GREY))
        self.register_buffer("log_power", known.power.log())
        self.register_buffer("mean", known.mean.clone())
        self.network = MovieUnet(settings or MovieUnetSettings())
        self.text, self.window, self.precision = text, window, torch.float32

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of movies `[B,1,T,H,W]`."""

        def denoised(part: Tensor, frames: slice) -> Tensor:
            text = condition if condition is None or condition.dim() == 2 else condition[:, frames]
            return self._denoised(part, sigma, text)

        return by_windows(denoised, x, self.window)

    @property
    def caption_space(self) -> str:
        """Text encoder used in training."""
        return self.text

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings `[K,D]` of captions; NaN for empty texts."""
        found = TextEncoder(self.text)([text or "." for text in texts])
        empty = torch.tensor([not text for text in texts])
        return found.masked_fill(empty[:, None], torch.nan)

    def gaussian(self, shape: Sequence[int]) -> Spectrum:
        """Return the spectrum of movies of a shape (`[…,T,H,W]`)."""
        frames, *size = shape[-3:]
        power = self.get_buffer("log_power")
        for axis, length in enumerate((frames, *size)):
            power = _resampled(power, length, axis)
        mean = functional.interpolate(self.get_buffer("mean")[None, None], size, mode="bilinear")[0, 0]
        return Spectrum(power.exp(), mean)

    def uncertainty(self, sigma: Tensor, shape: Sequence[int]) -> Tensor:
        """Return c `[B]`, the root mean posterior variance of the Gaussian at noise `sigma` `[B]`."""
        level = sigma.reshape(-1, 1, 1, 1) ** 2
        power = self.gaussian(shape).power
        return (power * level / (power + level)).flatten(1).mean(1).sqrt()

    def _uses_bfloat16(self, device: torch.device) -> bool:
        """Return whether the network runs in bfloat16: if requested, and supported by the hardware at speed."""
        slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
        return self.precision == torch.bfloat16 and not slow

    def _denoised(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        spectrum, level = self.gaussian(x.shape), sigma.reshape(-1, 1, 1, 1, 1).to(x)
        kept = GaussianDenoiser(spectrum)(x, level)
        views = [(x - GREY) / (level**2 + MOVIE_SD**2).sqrt(), (kept - spectrum.mean) / MOVIE_SD]
        given = torch.cat(views[: self.network.settings.inputs], 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._uses_bfloat16(x.device)):
            found = self.network(given, level.flatten().expand(len(x)).log() / 4, condition)
        scale = self.uncertainty(level.flatten(), x.shape).reshape(level.shape)
        estimate: Tensor = kept + scale * found.to(x.dtype)
        return estimate


def _resampled(power: Tensor, length: int, axis: int) -> Tensor:
    """Return log power at the `length` cosine frequencies k/2N of an axis, linearly interpolated."""
    known = power.shape[axis]
    places = (torch.arange(length, device=power.device) * (known / length)).clamp_max(known - 1)
    before = places.floor().long()
    after = (before + 1).clamp_max(known - 1)
    share = (places - before).to(power).reshape([-1 if other == axis else 1 for other in range(power.dim())])
    lower, upper = power.index_select(axis, before), power.index_select(axis, after)
    return lower + share * (upper - lower)


def save_movie_diffusion(
    model: MovieDiffusion, path: Path, *, card: Mapping[str, Any], scale: Scale | None = None
) -> None:
    """Write half-precision weights with settings, scale and card in the header, and a copy of the card as .json."""
    settings = dataclasses.asdict(model.network.settings)
    about = {"settings": json.dumps(settings), "text": model.text, **(scale.header() if scale else {})}
    card = {"settings": settings, "text": model.text, **card}
    save_prior(model.state_dict(), path, kind=FORMAT, about=about, card=card)


def load_movie_diffusion(
    weights: str | Path, *, window: Whole = 0, precision: Literal["float32", "bfloat16"] = "float32"
) -> MovieDiffusion:
    """Text-conditioned diffusion of grey movies in pixel space, frozen, from a file or a shipped name.

    `window` is that of `MovieDiffusion` and `precision` that of the network. Raises InputError if the file is of
    another kind.
    """
    tensors, header = load_prior(weights, kind=FORMAT, what="a diffusion prior of movies", command="recon train prior")
    chosen = settings_of(MovieUnetSettings, header, weights)
    found = [tensors.get(name) for name in BUFFERS]
    if any(value is None or value.dim() != axes for value, axes in zip(found, (3, 2), strict=True)):
        raise InputError(f"{weights}: expected log_power [T,H,W] and mean [H,W], got others; retrain it")
    network = described(weights, lambda: MovieUnet(chosen))
    shapes = {f"network.{name}": value for name, value in network.state_dict().items()}
    check_shapes(weights, shapes | {name: tensors[name] for name in BUFFERS}, tensors)
    with torch.random.fork_rng(devices=[]):
        spectrum = Spectrum(tensors["log_power"].exp(), tensors["mean"])
        model = MovieDiffusion(chosen, spectrum=spectrum, text=header.get("text", ""), window=window)
    model.load_state_dict(tensors)
    model.precision = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return model.eval().requires_grad_(False)


@dataclass(frozen=True)
class Diffusion(PixelPrior):
    """Learnt prior of grey movies: `weights` is a file or a shipped name, `text` the source of its condition, if any.

    `guidance` is the scale s of uncond + s·(cond − uncond); text has no effect at s = 0. Clips longer than `window`
    frames are denoised in windows (0: whole clips). With `stills`, and for clips of one frame, frames are denoised
    independently. Movies of another scale than those of its training are refused, unless `any_scale`
    is set, which results then say.
    """

    learnt: ClassVar[bool] = False
    takes_text: ClassVar[bool] = True

    weights: str = "movie_diffusion"
    text: TextSource | None = None
    guidance: float = 1.0
    window: Whole = 0
    stills: bool = False
    any_scale: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> Denoiser:
        """Return the denoiser of movies, or of still images, of a shape `[B,C,T,H,W]`."""
        movies = load_movie_diffusion(self.weights, window=self.window, precision=self.precision)
        return Still(movies) if self.stills or shape[-3] == 1 else movies

    def fit(self, training: Any) -> Self:
        """Fit the caption decoder, if it is the source of the text."""
        return replace(self, text=self.text and self.text.fit(training))

    def check_weights(self, training: Any) -> None:
        """Raise InputError where the weights or the text encoder that they need are absent, or are of another scale."""
        model = load_movie_diffusion(self.weights)
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
