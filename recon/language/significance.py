"""Which neurons are predicted better than chance: whole clips are exchanged, and many tests are corrected for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


def clip_moments(predicted: Sequence[Tensor], responses: Sequence[Tensor]) -> Tensor:
    """Return the sums `[6,K,K,N]` of clip i's prediction with clip j's responses, of which correlations are made.

    Clips `[T,N]` must be of equal length, so that each can stand for another.
    """
    x, y = torch.stack(list(predicted)).double(), torch.stack(list(responses)).double()
    if x.shape != y.shape or x.ndim != 3:
        raise ValueError(f"clips: expected equal ones (T,N), got {tuple(x.shape)} and {tuple(y.shape)}; cut them alike")
    count, frames = x.shape[:2]
    own = [x.sum(1), (x**2).sum(1), y.sum(1), (y**2).sum(1)]
    each = [torch.full_like(own[0], frames), *own]
    wide = [part[:, None].expand(-1, count, -1) for part in each[:3]]
    wide += [part[None].expand(count, -1, -1) for part in each[3:]]
    return torch.stack([*wide, torch.einsum("itn,jtn->ijn", x, y)])


def correlation(moments: Tensor) -> Tensor:
    """Return Pearson's r `[N]` from sums `[6,K,N]` over clips; NaN where one side is constant."""
    count, x, xx, y, yy, xy = moments.sum(1)
    variance = (xx - x**2 / count) * (yy - y**2 / count)
    r: Tensor = torch.where(variance > 1e-18, (xy - x * y / count) / variance.clamp_min(1e-36).sqrt(), torch.nan)
    return r


def permutation_test(
    predicted: Sequence[Tensor], responses: Sequence[Tensor], *, permutations: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return r `[N]` and p `[N]`: how often r is at least as high when predictions of whole clips are exchanged.

    The order as it is counts among the permutations. Clips, never frames, are exchanged, because frames of a clip are
    alike.
    """
    moments = clip_moments(predicted, responses)
    places = torch.arange(moments.shape[1])
    found = correlation(moments[:, places, places])
    reached = torch.ones_like(found)
    for _ in range(permutations):
        order = torch.from_numpy(generator.permutation(len(places)))
        reached += correlation(moments[:, order, places]) >= found - 1e-12
    p = torch.where(found.isnan(), torch.nan, reached / (permutations + 1))
    return found, p


def false_discovery(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return q values (Benjamini & Hochberg 1995): the share of false ones among all with at most this q.

    NaN stays NaN and does not count.

    >>> false_discovery([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / (1 + np.arange(len(order)))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q
