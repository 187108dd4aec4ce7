"""Significance of predictions: permutation of whole clips, corrected for multiple tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from recon.correlation import varies
from recon.errors import InputError


def clip_products(predicted: Sequence[Tensor], responses: Sequence[Tensor]) -> Tensor:
    """Return `[K,K,N]` the contribution to Pearson's r of predicting clip j by the prediction of clip i.

    r under a permutation is the mean over its pairs. Clips `[T,N]` must be of equal length, so that they are
    exchangeable: means and variances are then the same under every permutation. NaN where one side is constant.
    """
    x, y = torch.stack(list(predicted)).double(), torch.stack(list(responses)).double()
    if x.shape != y.shape or x.ndim != 3:
        raise InputError(f"clips: expected equal ones (T,N), got {tuple(x.shape)} and {tuple(y.shape)}; cut them alike")
    return torch.einsum("itn,jtn->ijn", _standardised(x), _standardised(y)) / x.shape[1]


def permutation_test(products: Tensor, *, permutations: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return r and p `[N]` of `clip_products`: the fraction of permutations of clips with r at least as high.

    The identity counts among the permutations. Whole clips are permuted, not frames, because frames of a clip are
    correlated.
    """
    places = torch.arange(len(products))
    found = products[places, places].mean(0)
    reached = torch.ones_like(found)
    for _ in range(permutations):
        reached += products[torch.from_numpy(generator.permutation(len(places))), places].mean(0) >= found - 1e-12
    return found, torch.where(found.isnan(), torch.nan, reached / (permutations + 1))


def _standardised(series: Tensor) -> Tensor:
    """Return series `[K,T,N]` with mean 0 and variance 1 over all clips; NaN where constant."""
    centred = series - series.mean((0, 1))
    power = centred.square().mean((0, 1))
    return centred / torch.where(varies(power, series.square().mean((0, 1))), power, torch.nan).sqrt()


def false_discovery(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return q values (Benjamini & Hochberg 1995): the false discovery rate among tests with at most this q.

    NaN stays NaN and is not counted as a test.

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
