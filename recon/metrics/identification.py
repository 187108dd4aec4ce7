"""Identification accuracy from similarities `[Q,M]` of queries and candidates; candidate i is the target of query i.

A candidate set of size n holds the target and n − 1 random distractors. Accuracies are exact expectations over all such
sets (hypergeometric distribution), with ties broken at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.correlation import doubled
from recon.errors import InputError

Array = NDArray[np.float64]


def rivals(similarity: Tensor) -> tuple[Array, Array]:
    """Return the numbers `[Q]` of distractors that score above the target and that tie with it.

    >>> rivals(torch.tensor([[0.5, 0.9], [0.2, 0.2]]))
    (array([1., 0.]), array([0., 1.]))
    """
    if similarity.ndim != 2 or len(similarity) > similarity.shape[1] or similarity.shape[1] < 2:
        raise InputError(
            f"similarity: expected [Q,M] with query i belonging to candidate i and at least 2 candidates, got "
            f"{tuple(similarity.shape)}"
        )
    known = doubled(similarity).nan_to_num(nan=-torch.inf)
    own = known.diagonal()[:, None]
    return (known > own).sum(1).cpu().double().numpy(), (known == own).sum(1).cpu().double().numpy() - 1


def top(similarity: Tensor, *, size: int, best: int = 1) -> Array:
    """Return the probability `[Q]` that the target is among the top `best` of `size` candidates.

    >>> top(torch.tensor([[0.5, 0.9, 0.1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), size=2).tolist()
    [0.5, 1.0, 1.0]
    """
    others = similarity.shape[1] - 1
    if not 2 <= size <= others + 1 or best < 1:
        raise InputError(f"candidates: expected 2 to {others + 1} of them and best of at least 1, got {size}, {best}")
    above, equal = rivals(similarity)
    return np.array([_probability(others, int(a), int(e), size, best) for a, e in zip(above, equal, strict=True)])


def rank(similarity: Tensor, *, size: int) -> Array:
    """Return the expected rank `[Q]` (1 is best) of the target among `size` candidates.

    >>> rank(torch.tensor([[0.5, 0.9, 0.1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), size=3).tolist()
    [2.0, 1.0, 1.0]
    """
    above, equal = rivals(similarity)
    ranked: Array = 1 + (above + equal / 2) * (size - 1) / (similarity.shape[1] - 1)
    return ranked


@lru_cache(maxsize=100_000)
def _probability(others: int, above: int, equal: int, size: int, best: int) -> float:
    """Return P(fewer than `best` of `size` − 1 distractors score higher), averaged over the orders of `equal` ties."""
    from scipy.stats import hypergeom

    places = np.arange(above, above + equal + 1)
    return float(np.mean(hypergeom.cdf(best - 1, others, places, size - 1)))


def cosine_similarity(queries: Tensor, candidates: Tensor) -> Tensor:
    """Return the cosine similarity `[Q,M]` of queries `[Q,…]` and candidates `[M,…]`; zero vectors have similarity 0.

    >>> cosine_similarity(torch.eye(2), torch.tensor([[2.0, 0.0], [1.0, 1.0]])).round(decimals=3).tolist()
    [[1.0, 0.7070000171661377], [0.0, 0.7070000171661377]]
    """
    first, second = (torch.nn.functional.normalize(part.flatten(1), dim=1) for part in (queries, candidates))
    return first @ second.T


def segments(frames: int, length: int) -> Sequence[tuple[int, int]]:
    """Return (first, end) of the consecutive segments of `length` frames in `frames` frames; a remainder is dropped.

    >>> segments(10, 4)
    [(0, 4), (4, 8)]
    """
    return [(first, first + length) for first in range(0, frames - length + 1, length)]
