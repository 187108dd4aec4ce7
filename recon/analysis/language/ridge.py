"""Ridge regression from captions to responses, with a cross-validated penalty per neuron.

himalaya (Dupré la Tour et al. 2022) multiplies a matrix of held-out by training samples with the responses for every
penalty: 77 TFLOP for 8,000 neurons and 20,000 samples, where projecting first takes 8. Penalties and weights are the
same (tested against himalaya and scikit-learn).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.linear.regression import Decomposed, shrunk

PENALTIES = tuple(float(10**power) for power in np.arange(-1, 6.5, 0.5))
SHARES = (0.01, 0.1, 0.5, 0.9, 0.99)
"""Shares of the first of two bands in the prior variance; each neuron takes the share with the smallest error."""
AT_ONCE = 2000
"""Neurons fitted together; bounds memory."""


@dataclass(frozen=True)
class RidgeFit:
    """Fitted readout: rates `x @ weights + offset` `[S,N]`; penalty per neuron `[N]`, for two bands `[2,N]`."""

    weights: Tensor
    offset: Tensor
    penalty: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return the responses `[S,N]` predicted from features `[S,D]`."""
        return features.to(self.weights) @ self.weights + self.offset


def fit_readout(
    features: Tensor,
    responses: Tensor,
    groups: Sequence[int],
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
) -> RidgeFit:
    """Fit ridge from features `[S,D]` to responses `[S,N]`; `groups` `[S]` name contents, which never span folds.

    Each neuron's penalty minimises the squared error over all held-out samples. Raises InputError for fewer contents
    than folds, and for unequal lengths.
    """
    splits = _splits((features,), responses, groups, folds)
    grid = torch.tensor(penalties, dtype=torch.float64)
    chosen = grid[_errors(features, responses, splits, grid).argmin(0)]
    weights = torch.cat(list(_weights(features, responses, chosen)), 1)
    return RidgeFit(weights, responses.mean(0) - features.mean(0) @ weights, chosen)


def fit_banded(
    first: Tensor,
    second: Tensor,
    responses: Tensor,
    groups: Sequence[int],
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
) -> RidgeFit:
    """Fit banded ridge from features `[S,D]` and `[S,E]`, with one penalty per band and neuron.

    As `fit_readout` on the concatenated bands. `SHARES` are the candidate shares of the first band in the prior
    variance.
    """
    splits = _splits((first, second), responses, groups, folds)
    grid = torch.tensor(penalties, dtype=torch.float64)
    errors = torch.stack([_errors(_scaled(first, second, share), responses, splits, grid) for share in SHARES])
    best = errors.flatten(0, 1).argmin(0)
    share, penalty = torch.tensor(SHARES, dtype=torch.float64)[best // len(grid)], grid[best % len(grid)]
    weights = first.new_empty(first.shape[1] + second.shape[1], responses.shape[1])
    for one in SHARES:
        own = (share == one).nonzero().flatten()
        if len(own):
            found = torch.cat(list(_weights(_scaled(first, second, one), responses[:, own], penalty[own])), 1)
            weights[:, own] = found * _units(first, second, one)[:, None]
    offset = responses.mean(0) - torch.cat([first.mean(0), second.mean(0)]) @ weights
    return RidgeFit(weights, offset, torch.stack([penalty / share, penalty / (1 - share)]))


def _scaled(first: Tensor, second: Tensor, share: float) -> Tensor:
    return torch.cat([first, second], 1) * _units(first, second, share)


def _units(first: Tensor, second: Tensor, share: float) -> Tensor:
    parts = [one.new_full((one.shape[1],), part**0.5) for one, part in ((first, share), (second, 1 - share))]
    return torch.cat(parts)


def _errors(x: Tensor, y: Tensor, splits: Sequence[tuple[Any, Any]], penalties: Tensor) -> Tensor:
    """Return the squared error `[P,N]` per penalty and neuron, over the held-out samples of all folds."""
    errors = torch.zeros(len(penalties), y.shape[1], dtype=torch.float64)
    for learnt, held in splits:
        known = Decomposed.of(x[learnt])
        rotated = known.seen(x[held])
        for some in _batches(y.shape[1]):
            targets, centre = y[:, some][held], y[:, some][learnt].mean(0)
            projected = known.projected(y[:, some][learnt] - centre)
            for place, penalty in enumerate(penalties):
                predicted = rotated @ shrunk(projected, known.values, penalty)
                errors[place, some] += (targets - centre - predicted).square().sum(0).double()
    return errors


def _weights(x: Tensor, y: Tensor, penalty: Tensor) -> Iterator[Tensor]:
    """Yield the weights `[D,n]` of batches of neurons, each neuron with its own penalty."""
    known = Decomposed.of(x)
    for some in _batches(y.shape[1]):
        projected = known.projected(y[:, some] - y[:, some].mean(0))
        yield known.basis @ shrunk(projected, known.values, penalty[some])


def _batches(neurons: int) -> Iterator[slice]:
    return (slice(first, first + AT_ONCE) for first in range(0, neurons, AT_ONCE))


def _splits(bands: Sequence[Tensor], responses: Tensor, groups: Sequence[int], folds: int) -> list[tuple[Any, Any]]:
    for features in bands:
        if not len(features) == len(responses) == len(groups):
            raise InputError(
                f"ridge: expected as many features, responses and groups, got {len(features)}, {len(responses)} and "
                f"{len(groups)}; cut them alike"
            )
    return content_folds(groups, folds)


def content_folds(groups: Sequence[int], folds: int) -> list[tuple[Any, Any]]:
    """Return (training, validation) samples per fold; contents are assigned greedily, from the longest to the shortest.

    >>> [held.tolist() for _, held in content_folds([7, 7, 7, 8, 9], 2)]
    [[0, 1, 2], [3, 4]]
    """
    labels = np.asarray(groups)
    contents, counts = np.unique(labels, return_counts=True)
    if len(contents) < folds or folds < 2:
        raise InputError(
            f"folds: expected at least 2 and at most one for each of {len(contents)} contents, got {folds}; "
            "lower folds or take more trials"
        )
    fold_of, load = dict[Any, int](), np.zeros(folds)
    for place in np.argsort(-counts, kind="stable"):
        fold_of[contents[place]] = int(load.argmin())
        load[load.argmin()] += counts[place]
    dealt = np.array([fold_of[label] for label in labels.tolist()])
    return [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(folds)]
