"""From what is said to what neurons do: ridge regression whose penalty cross-validation chooses for every neuron.

The solver is himalaya's (Dupré la Tour et al. 2022), in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

PENALTIES = tuple(float(10**power) for power in np.arange(-1, 6.5, 0.5))
AT_ONCE = 2000
"""Neurons that are fitted together: what bounds the memory."""


@dataclass(frozen=True)
class Readout:
    """What was fitted: rates `x @ weights + offset` `[S,N]`, and the penalty `[N]` of each neuron."""

    weights: Tensor
    offset: Tensor
    penalty: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return the responses `[S,N]` to features `[S,D]`."""
        return features.to(self.weights) @ self.weights + self.offset


def fit_readout(
    features: Tensor,
    responses: Tensor,
    groups: Sequence[int],
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
) -> Readout:
    """Fit ridge from features `[S,D]` to responses `[S,N]`; `groups` `[S]` name contents, which no two folds share.

    Raises ValueError for fewer contents than folds, unequal lengths, or where himalaya is not installed.
    """
    if not len(features) == len(responses) == len(groups):
        raise ValueError(
            f"ridge: expected as many features, responses and groups, got {len(features)}, {len(responses)} and "
            f"{len(groups)}; cut them alike"
        )
    splits = content_folds(groups, folds)
    solver = _solver()
    parts = [
        solver(
            features,
            responses[:, first : first + AT_ONCE],
            alphas=torch.tensor(penalties, dtype=features.dtype),
            fit_intercept=True,
            cv=splits,
            n_targets_batch=AT_ONCE,
            n_alphas_batch=1,
            warn=False,
        )
        for first in range(0, responses.shape[1], AT_ONCE)
    ]
    penalty, weights, offset = (torch.cat([part[k] for part in parts], -1) for k in (0, 1, 3))
    return Readout(weights, offset, penalty)


def content_folds(groups: Sequence[int], folds: int) -> list[tuple[Any, Any]]:
    """Return (training, validation) samples of each fold; contents are dealt to folds from the longest to the shortest.

    >>> [held.tolist() for _, held in content_folds([7, 7, 7, 8, 9], 2)]
    [[0, 1, 2], [3, 4]]
    """
    labels = np.asarray(groups)
    contents, counts = np.unique(labels, return_counts=True)
    if len(contents) < folds or folds < 2:
        raise ValueError(
            f"folds: expected at least 2 and at most one for each of {len(contents)} contents, got {folds}; "
            "lower folds or take more trials"
        )
    fold_of, load = dict[Any, int](), np.zeros(folds)
    for place in np.argsort(-counts, kind="stable"):
        fold_of[contents[place]] = int(load.argmin())
        load[load.argmin()] += counts[place]
    dealt = np.array([fold_of[label] for label in labels.tolist()])
    return [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(folds)]


def _solver() -> Any:
    if find_spec("himalaya") is None:
        raise ValueError("ridge: expected the extra `language`, got no himalaya; pip install 'recon[language]'")
    from himalaya.backend import set_backend
    from himalaya.ridge import solve_ridge_cv_svd

    set_backend("torch")
    return solve_ridge_cv_svd
