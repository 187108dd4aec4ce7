"""Features of an estimate, of every method alike: what its own movie says about how far off it may be."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

FEATURES = 21
"""Number of features of an estimate without draws; the deviation of draws adds one."""
TINY = 1e-3
"""Floor of contrasts and motion, in units of the movie's range; a grey level is 0.004."""
SETTLED = 30.0
"""Frames after which the distance from an end of the clip changes little."""


def features(movie: Tensor, place: Tensor, deviation: Tensor | None = None) -> Tensor:
    """Return features `[C,T,H,W,F]` of an estimate `[C,T,H,W]` in [0,1].

    Luminance, local mean, contrast and motion over two neighbourhoods, contrast over time, of the frame and of the
    clip, time since the clip's start and until its end, place on the screen with its eccentricity, the typical error
    there (`place` `[H,W]`), and the deviation of a sampler's draws.
    """
    return torch.stack([one.expand_as(movie) for one in _features(movie, place, deviation)], -1)


def motion(movie: Tensor) -> Tensor:
    """Return the mean absolute change per frame `[C,T,H,W]` around every pixel, over 5 × 5 pixels.

    >>> float(motion(torch.ones(1, 4, 6, 6)).max())
    0.0
    """
    change = torch.zeros_like(movie)
    change[:, 1:] = (movie[:, 1:] - movie[:, :-1]).abs()
    if movie.shape[1] > 1:
        change[:, 0] = change[:, 1]
    return _local(change, (1, 5, 5))


def _features(movie: Tensor, place: Tensor, deviation: Tensor | None) -> Iterator[Tensor]:
    _, frames, height, width = movie.shape
    yield from (movie, movie.square(), _local(movie, (1, 3, 3)))
    for kernel in ((1, 5, 5), (1, 11, 11), (5, 5, 5)):
        yield _log(_contrast(movie, kernel))
    yield from (_log(motion(movie)), _log(_local(motion(movie), (9, 1, 1))))
    still = movie.mean(1, keepdim=True)
    yield from (movie - still, _log(movie.std(1, correction=0, keepdim=True)))
    frame = movie.mean((2, 3), keepdim=True)
    yield from (frame, movie - frame, _log(movie.std((2, 3), correction=0, keepdim=True)))
    yield _log(movie.std(correction=0))
    since = torch.arange(frames, dtype=movie.dtype)
    for distance in (since, since.flip(0)):
        yield (distance / (distance + SETTLED))[:, None, None]
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]
    yield from (y, x, (y.square() + x.square()).sqrt(), _log(place))
    yield (movie - 0.5).abs()
    if deviation is not None:
        yield _log(deviation)


def _log(values: Tensor) -> Tensor:
    return values.clamp_min(TINY).log()


def _contrast(movie: Tensor, kernel: tuple[int, int, int]) -> Tensor:
    centred = movie - movie.mean()  # keeps the difference of squares above rounding
    return (_local(centred.square(), kernel) - _local(centred, kernel).square()).clamp_min(0).sqrt()


def _local(movie: Tensor, kernel: tuple[int, int, int]) -> Tensor:
    """Return means over a neighbourhood of odd sides (frames, rows, columns), cut at the borders."""
    found = movie[None]
    for axis, side in enumerate(kernel):
        side = min(side, movie.shape[axis + 1] - 1 + movie.shape[axis + 1] % 2)
        sides = [side if place == axis else 1 for place in range(3)]
        margin = [length // 2 for length in sides]
        found = functional.avg_pool3d(found, sides, stride=1, padding=margin, count_include_pad=False)
    return found[0]
