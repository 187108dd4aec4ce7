"""How well what is known of a stimulus predicts the responses to clips that were not learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon.analysis.language.clips import HeldOutClips
from recon.analysis.language.features import delayed
from recon.analysis.language.ridge import PENALTIES, RidgeFit, fit_banded, fit_readout
from recon.analysis.language.significance import clip_products, false_discovery, permutation_test

AT_ONCE = 500
"""Neurons that are tested together: what bounds the memory."""


@dataclass(frozen=True)
class RegressionData:
    """What readouts are fitted to: trials, their responses `[S,N]` in bins, and the content of each sample."""

    trials: tuple[int, ...]
    responses: Tensor
    contents: tuple[int, ...]
    delays: int
    penalties: tuple[float, ...] = PENALTIES
    folds: int = 5


@dataclass(frozen=True)
class Predicted:
    """Predictions `[K,B,N]` of held-out clips; r, p and q `[N]`; each clip's share `[K,N]` of r; weights `[D,N]`."""

    clips: Tensor
    r: Tensor
    p: Tensor
    q: Tensor
    shares: Tensor
    weights: Tensor


def predict(
    series: Mapping[int, Tensor], learning: RegressionData, clips: HeldOutClips, *, permutations: int, seed: int
) -> Predicted:
    """Fit ridge from series `[B,D]` with delays, and test its predictions against exchanged clips.

    `weights` are those of all delays together.
    """
    features = _delayed(series, learning.trials, learning.delays)
    penalties, folds = learning.penalties, learning.folds
    readout = fit_readout(features, learning.responses, learning.contents, penalties=penalties, folds=folds)
    predicted = _asked(readout, [series], learning, clips)
    told = torch.stack(clips.means)
    tested: list[tuple[Tensor, Tensor, Tensor]] = []
    for first in range(0, told.shape[2], AT_ONCE):
        some = slice(first, first + AT_ONCE)
        products = clip_products(list(predicted[..., some]), list(told[..., some]))
        generator = np.random.default_rng(seed)  # the same orders for all neurons
        r, p = permutation_test(products, permutations=permutations, generator=generator)
        tested.append((r, p, products.diagonal().T))
    r, p = (torch.cat([one[part] for one in tested]) for part in (0, 1))
    shares = torch.cat([one[2] for one in tested], 1)
    weights = readout.weights.reshape(learning.delays, -1, readout.weights.shape[1]).sum(0)
    return Predicted(predicted, r, p, torch.from_numpy(false_discovery(p.numpy())), shares, weights)


def predict_jointly(
    first: Mapping[int, Tensor], second: Mapping[int, Tensor], learning: RegressionData, clips: HeldOutClips
) -> Tensor:
    """Return the predictions `[K,B,N]` from two series together, each with its own penalty for every neuron."""
    one, other = (_delayed(series, learning.trials, learning.delays) for series in (first, second))
    penalties, folds = learning.penalties, learning.folds
    readout = fit_banded(one, other, learning.responses, learning.contents, penalties=penalties, folds=folds)
    return _asked(readout, [first, second], learning, clips)


def _asked(
    readout: RidgeFit, bands: Sequence[Mapping[int, Tensor]], learning: RegressionData, clips: HeldOutClips
) -> Tensor:
    sides = [[delayed(series[trial], learning.delays)[: clips.bins] for series in bands] for trial in clips.trials]
    return torch.stack([readout(torch.cat(side, 1)) for side in sides])


def _delayed(series: Mapping[int, Tensor], trials: Sequence[int], delays: int) -> Tensor:
    return torch.cat([delayed(series[trial], delays) for trial in trials])
