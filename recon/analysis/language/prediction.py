"""Prediction of responses to held-out clips from features of the stimulus."""

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
"""Neurons tested together; bounds memory."""


@dataclass(frozen=True)
class RegressionData:
    """Training data of a readout: trials, binned responses `[S,N]`, and the content of each sample."""

    trials: tuple[int, ...]
    responses: Tensor
    contents: tuple[int, ...]
    delays: int
    penalties: tuple[float, ...] = PENALTIES
    folds: int = 5


@dataclass(frozen=True)
class Predicted:
    """Predictions `[K,B,N]` of held-out clips; r, p and q `[N]`; clips' contributions to r `[K,N]`; weights `[D,N]`."""

    clips: Tensor
    r: Tensor
    p: Tensor
    q: Tensor
    shares: Tensor
    weights: Tensor


def predict(
    series: Mapping[int, Tensor], learning: RegressionData, clips: HeldOutClips, *, permutations: int, seed: int
) -> Predicted:
    """Fit ridge regression from delayed series `[B,D]`, and test its predictions by permutation of clips.

    `weights` are summed over delays.
    """
    features = _delayed(series, learning.trials, learning.delays)
    penalties, folds = learning.penalties, learning.folds
    readout = fit_readout(features, learning.responses, learning.contents, penalties=penalties, folds=folds)
    predicted = _tested(readout, [series], learning, clips)
    observed = torch.stack(clips.means)
    tested: list[tuple[Tensor, Tensor, Tensor]] = []
    for first in range(0, observed.shape[2], AT_ONCE):
        some = slice(first, first + AT_ONCE)
        products = clip_products(list(predicted[..., some]), list(observed[..., some]))
        generator = np.random.default_rng(seed)  # same permutations for all neurons
        r, p = permutation_test(products, permutations=permutations, generator=generator)
        tested.append((r, p, products.diagonal().T))
    r, p = (torch.cat([one[part] for one in tested]) for part in (0, 1))
    shares = torch.cat([one[2] for one in tested], 1)
    weights = readout.weights.reshape(learning.delays, -1, readout.weights.shape[1]).sum(0)
    return Predicted(predicted, r, p, torch.from_numpy(false_discovery(p.numpy())), shares, weights)


def predict_jointly(
    first: Mapping[int, Tensor], second: Mapping[int, Tensor], learning: RegressionData, clips: HeldOutClips
) -> Tensor:
    """Return predictions `[K,B,N]` from two series by banded ridge: one penalty per band and neuron."""
    one, other = (_delayed(series, learning.trials, learning.delays) for series in (first, second))
    penalties, folds = learning.penalties, learning.folds
    readout = fit_banded(one, other, learning.responses, learning.contents, penalties=penalties, folds=folds)
    return _tested(readout, [first, second], learning, clips)


def _tested(
    readout: RidgeFit, bands: Sequence[Mapping[int, Tensor]], learning: RegressionData, clips: HeldOutClips
) -> Tensor:
    sides = [[delayed(series[trial], learning.delays)[: clips.bins] for series in bands] for trial in clips.trials]
    return torch.stack([readout(torch.cat(side, 1)) for side in sides])


def _delayed(series: Mapping[int, Tensor], trials: Sequence[int], delays: int) -> Tensor:
    return torch.cat([delayed(series[trial], delays) for trial in trials])
