"""Frame correlation at coarser resolution: movies are averaged over blocks of pixels and of frames.

For stimuli such as white noise, activity constrains single pixels of single frames poorly; scores at several
resolutions show what was recovered.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from recon.correlation import doubled
from recon.errors import InputError
from recon.errors.ranges import Count
from recon.metrics.movie import check_movies, frame_correlation


@dataclass(frozen=True)
class Pooling:
    """Resolution of a pooled score: frames are averaged to `size` (height, width), then over blocks of `frames`."""

    size: tuple[Count, Count]
    frames: Count = 1

    def __post_init__(self) -> None:
        if min(*self.size, self.frames) < 1:
            raise InputError(f"pooling: expected sizes of at least 1, got {self.size} and {self.frames}; raise them")

    def __call__(self, reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the pooled frame correlation `[B]` of movies `[B,C,T,H,W]`."""
        return pooled_frame_correlation(reconstruction, truth, pixel_mask, size=self.size, frames=self.frames)


def pooled_frame_correlation(
    reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None, *, size: tuple[int, int], frames: int = 1
) -> Tensor:
    """Return the mean over pooled frames of the spatial Pearson r `[B]`; constant frames are excluded.

    Movies `[B,C,T,H,W]` are averaged over equal blocks to `size` and over successive blocks of `frames` frames (an
    incomplete last block is dropped). With `pixel_mask` only blocks entirely inside the mask count.
    """
    check_movies(reconstruction, truth, pixel_mask)
    height, width = truth.shape[-2:]
    if height % size[0] or width % size[1]:
        raise InputError(f"pooling: expected a size that divides {height} × {width} pixels, got {size}; choose another")
    if truth.shape[2] < frames:
        raise InputError(f"pooling: expected at least {frames} scored frames, got {truth.shape[2]}; pool fewer")
    blocks = None
    if pixel_mask is not None:
        blocks = functional.avg_pool2d(doubled(pixel_mask)[None], (height // size[0], width // size[1]))[0] > 1 - 1e-9
        blocks = blocks.to(pixel_mask.device)
    return frame_correlation(pool(reconstruction, size, frames), pool(truth, size, frames), blocks)


def pool(movie: Tensor, size: tuple[int, int], frames: int) -> Tensor:
    """Return a movie `[B,C,T,H,W]` averaged over blocks of pixels and frames, `[B,C,T//frames,*size]`.

    >>> import torch
    >>> pool(torch.arange(8.0).reshape(1, 1, 4, 1, 2), (1, 1), 2).flatten()
    tensor([1.5000, 5.5000])
    """
    height, width = movie.shape[-2:]
    kernel = (frames, height // size[0], width // size[1])
    return functional.avg_pool3d(doubled(movie), kernel).float().to(movie.device)
