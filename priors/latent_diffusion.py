"""Pretrained text-to-image and text-to-video diffusion as a prior over grey movies: D(x, σ, text) in latent space."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from einops import rearrange
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Whole
from recon.priors.autoencoder import Shape, enlarged, reduced
from recon.priors.base import Denoiser
from recon.priors.guidance import Guidance
from recon.priors.overlapping_windows import by_windows
from recon.priors.pipeline_files import Precision, check_pipeline, load_pipeline
from recon.priors.pipelines import Pipeline
from recon.priors.prior import Conditioning, Prior, TextSource
from recon.priors.spectrum import Spectrum, cosine_matrix


@dataclass(frozen=True)
class Framing:
    """Conversion between movies and a model's input, and temporal smoothing of its estimates.

    `shape` (frames, height, width) is that of decoded movies. Frames are upsampled by `scale`. Every `every`-th frame
    is encoded (4 for 30 Hz movies and a model of 8 Hz); decoding interpolates the others linearly. Video models process
    `window` latent frames at a time (0: all). `consistency` is the strength of `smoothed` (0: off).
    """

    shape: Shape | None = None
    scale: int = 8
    every: int = 1
    window: int = 0
    consistency: float = 0.0

    def __post_init__(self) -> None:
        if min(self.scale, self.every, *(self.shape or [1])) < 1 or self.consistency < 0 or self.window < 0:
            raise InputError(
                f"latent diffusion: expected a shape, scale and every of at least 1, window and consistency of at "
                f"least 0, got {self}; correct it"
            )

    def frames(self, movie_frames: int, stride: int) -> int:
        """Return the number of frames encoded; the last lies at or after the movie's end.

        A video autoencoder takes 1 + k·stride frames.

        >>> Framing(every=4).frames(30, 0), Framing(every=4).frames(30, 4), Framing().frames(30, 0)
        (9, 9, 30)
        """
        seen = 1 + math.ceil((movie_frames - 1) / self.every)
        return 1 + math.ceil((seen - 1) / stride) * stride if stride else seen


class LatentDiffusion(Denoiser):
    """A diffusers pipeline as a denoiser of normalised latents, x = clean + σ·noise `[B,D,T',h,w]`.

    Latent Diffusion (Rombach et al. 2022). Image models denoise frames independently; only `consistency` couples them.
    σ is relative to latents of standard deviation near 1, so samplers start at σ of 10 or more. Conditions are rows
    `[B,K]` of `embed`; None, or a row of NaN, is the empty text. Padding and frame subsampling lose the movie's shape,
    so decoding needs it: see `for_movie`.
    """

    network_unit = 1.0

    def __init__(self, pipeline: Pipeline, framing: Framing | None = None) -> None:
        super().__init__()
        self.pipeline, self.framing = pipeline, framing or Framing()
        if self.framing.window and not pipeline.family.video:
            raise InputError(
                f"latent diffusion: expected window 0 for an image model, got {self.framing.window}; remove it"
            )
        self.train(pipeline.training)

    def for_movie(self, shape: Sequence[int]) -> LatentDiffusion:
        """Return the same prior, with shared weights, for movies of a shape `[...,T,H,W]` or (T,H,W)."""
        frames, height, width = (int(size) for size in tuple(shape)[-3:])
        return LatentDiffusion(self.pipeline, dataclasses.replace(self.framing, shape=(frames, height, width)))

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of latents `[B,D,T',h,w]` at noise `sigma` `[B]`."""
        schedule, pipeline = self.pipeline.schedule, self.pipeline

        def denoised(part: Tensor, frames: slice) -> Tensor:
            return schedule.denoised(part, sigma, lambda moved, time: pipeline.predict(moved, time, condition))

        return smoothed(by_windows(denoised, x, self.framing.window), sigma, self.framing.consistency)

    def encode(self, movie: Tensor) -> Tensor:
        """Return the latent means of grey movies `[B,1,T,H,W]` in [0,1]; the last frame is repeated as padding."""
        if movie.dim() != 5 or movie.shape[1] != 1:
            raise InputError(f"movie: expected [B,1,T,H,W], got {tuple(movie.shape)}; take grey movies")
        frames = movie.shape[2]
        seen = self.framing.frames(frames, self.pipeline.family.stride)
        times = (torch.arange(seen, device=movie.device) * self.framing.every).clamp_max(frames - 1)
        flat = rearrange(movie[:, :, times], "b c t h w -> (b t) c h w")
        images = enlarged(flat, self.framing.scale, self.pipeline.multiple)
        return self.pipeline.encode(rearrange(images, "(b t) c h w -> b c t h w", b=len(movie)))

    def decode(self, x: Tensor) -> Tensor:
        """Return movies `[B,1,T,H,W]` of latents, unclipped except by Wan's autoencoder; differentiable.

        Raises InputError if no movie shape is set or the latents do not match it.
        """
        frames, *size = self._checked(x)
        images = self.pipeline.decode(x)
        seen = reduced(rearrange(images, "b c t h w -> (b t) c h w"), self.framing.scale, size)
        movie = rearrange(seen, "(b t) 1 h w -> b 1 t h w", b=len(x))
        if self.framing.every == 1:
            return movie[:, :, :frames]
        return between(movie, torch.arange(frames, device=x.device) / self.framing.every)

    def at_places(self, pixels: Tensor) -> Tensor:
        """Return a map over pixels `[B,1,1,H,W]` as one over latents `[B,1,1,h,w]`, padded as movies are."""
        images = enlarged(pixels[:, 0], self.framing.scale, self.pipeline.multiple)
        side = self.pipeline.pixels_per_latent
        return reduced(images, side, [length // side for length in images.shape[-2:]])[:, :, None]

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the conditions `[K,D]` of captions; D concatenates all text tensors of the pipeline."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"texts: expected a sequence of strings, got {texts!r}; put one text into a list")
        return self.pipeline.embed(list(texts))

    def _checked(self, x: Tensor) -> Shape:
        if self.framing.shape is None:
            raise InputError("latent diffusion: expected the shape of movies, got none; take for_movie(shape)")
        frames, height, width = self.framing.shape
        stride, multiple = self.pipeline.family.stride, self.pipeline.multiple
        seen = self.framing.frames(frames, stride)
        sides = [
            -(-side * self.framing.scale // multiple) * multiple // self.pipeline.pixels_per_latent
            for side in (height, width)
        ]
        expected = (1 + (seen - 1) // (stride or 1), *sides)
        if tuple(x.shape[2:]) != expected:
            raise InputError(
                f"latents: expected [B,D,{','.join(map(str, expected))}] for movies of {self.framing.shape}, got "
                f"{list(x.shape)}; take for_movie(shape) of their movies"
            )
        return frames, height, width


def smoothed(clean: Tensor, sigma: Tensor, consistency: float) -> Tensor:
    """Return estimates `[B,D,T,h,w]` smoothed over time under a random-walk prior (Rauch, Tung & Striebel 1965).

    z = argmin Σ_t ‖z_t − clean_t‖² / C + consistency²·Σ_t ‖z_{t+1} − z_t‖². C = σ²/(1+σ²) is the posterior variance of
    a unit-variance latent at noise σ; 1/consistency is the standard deviation of its change per frame. Solved in the
    cosine basis, which diagonalises the differences. Low noise and static latents leave the estimate unchanged; the
    temporal mean is always preserved.

    >>> clean = torch.rand(1, 2, 5, 3, 3)
    >>> bool(torch.allclose(smoothed(clean, torch.tensor([9.0]), 1e4), clean.mean(2, keepdim=True), atol=1e-4))
    True
    """
    if not consistency:
        return clean
    frames = clean.shape[2]
    basis = cosine_matrix(frames, clean.dtype, str(clean.device))
    rough = 2 - 2 * torch.cos(math.pi / frames * torch.arange(frames, device=clean.device)).to(clean)
    level = sigma.to(clean).expand(len(clean))[:, None]
    gain = 1 / (1 + consistency**2 * level**2 / (1 + level**2) * rough)
    filters = basis.T @ (gain[:, :, None] * basis)
    return torch.einsum("bst,bdthw->bdshw", filters, clean)


def between(movie: Tensor, times: Tensor) -> Tensor:
    """Return the frames of a movie `[B,C,T,H,W]` at fractional frame times `[K]`, linearly interpolated.

    >>> between(torch.tensor([0.0, 2.0, 4.0]).reshape(1, 1, 3, 1, 1), torch.tensor([0.25, 2.0])).flatten().tolist()
    [0.5, 4.0]
    """
    before = times.floor().long()
    after = (before + 1).clamp_max(movie.shape[2] - 1)
    share = (times - before).to(movie)[:, None, None]
    return torch.lerp(movie[:, :, before], movie[:, :, after], share)


def load_latent_diffusion(
    source: str | Path,
    *,
    shape: tuple[Count, Count, Count] | None = None,
    scale: Count = 8,
    every: Count = 1,
    window: Whole = 0,
    consistency: NonNegative = 0.0,
    at_once: Count = 8,
    recompute: bool = True,
    precision: Precision = "float32",
) -> LatentDiffusion:
    """Text-to-image or text-to-video diffusion in latent space, from a folder or a model hub id.

    `shape`, `scale`, `every`, `window` and `consistency` are those of `Framing`; the others are those of
    `load_pipeline`. Raises InputError if weights are unavailable or the pipeline is unsupported.
    """
    framing = Framing(shape, scale, every, window, consistency)
    pipeline = load_pipeline(source, at_once=at_once, recompute=recompute, precision=precision)
    return LatentDiffusion(pipeline, framing)


@dataclass(frozen=True)
class Pretrained(Prior):
    """Text-to-image or text-to-video pipeline of diffusers, from a folder or hub id, in its own latent space.

    σ is in units of latents: samplers start from 10 or more. The pipeline conditions on text, not embeddings, so
    what is decoded is the nearest caption of training trials, or of a bank. Other settings: see `Framing` and
    `load_pipeline`.
    """

    learnt: ClassVar[bool] = False
    takes_text: ClassVar[bool] = True

    source: str
    text: TextSource | None = None
    guidance: float | Guidance = 5.0
    scale: Count = 8
    every: Count = 1
    window: Whole = 0
    consistency: NonNegative = 0.0
    at_once: Count = 8
    precision: Literal["float32", "bfloat16", "float16"] = "float32"

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> LatentDiffusion:
        """Return the pipeline as a denoiser of latents of movies of a shape `[B,C,T,H,W]`."""
        frames, height, width = shape[-3:]
        framing = Framing((frames, height, width), self.scale, self.every, self.window, self.consistency)
        return LatentDiffusion(load_pipeline(self.source, at_once=self.at_once, precision=self.precision), framing)

    def fit(self, training: Any) -> Self:
        """Fit the caption decoder, if it is the source of the text."""
        return replace(self, text=self.text and self.text.fit(training))

    def check_weights(self, training: Any) -> None:
        """Raise InputError where the pipeline is absent."""
        check_pipeline(self.source)

    @property
    def pretrained(self) -> str:
        """Folder or hub id of the pipeline."""
        return self.source

    @property
    def conditioning(self) -> Conditioning:
        """Text source and guidance."""
        return Conditioning(self.text, self.guidance)
