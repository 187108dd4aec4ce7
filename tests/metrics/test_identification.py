"""Identification among candidates: exact probabilities against sampling, ties, directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.metrics.identification import rank, top


def sampled(similarity: np.ndarray, size: int, best: int, draws: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Top-`best` and mean rank by drawing candidate sets and breaking ties with a coin."""
    rng, (queries, candidates) = np.random.default_rng(0), similarity.shape
    hits, ranks = np.zeros(queries), np.zeros(queries)
    for query in range(queries):
        others = np.delete(np.arange(candidates), query)
        for _ in range(draws):
            drawn = similarity[query, rng.choice(others, size - 1, replace=False)]
            coin = rng.random(size - 1) < 0.5
            # A coin per pair breaks several ties only on average as a random order does; ranks are averages anyway.
            above = (drawn > similarity[query, query]).sum() + ((drawn == similarity[query, query]) & coin).sum()
            hits[query] += above < best
            ranks[query] += above + 1
    return hits / draws, ranks / draws


@pytest.mark.parametrize("size, best", [(2, 1), (5, 1), (5, 3), (9, 2)])
def test_probabilities_are_those_of_drawn_candidate_sets(size: int, best: int) -> None:
    similarity = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 9))) + torch.eye(6, 9)
    hits, ranks = sampled(similarity.numpy(), size, best)
    assert np.allclose(top(similarity, size=size, best=best), hits, atol=0.04)
    assert np.allclose(rank(similarity, size=size), ranks, atol=0.15)


def test_what_knows_nothing_is_at_chance() -> None:
    same = torch.zeros(20, 20)
    assert np.allclose(top(same, size=10), 0.1)
    assert np.allclose(top(same, size=10, best=5), 0.5)
    assert np.allclose(rank(same, size=10), 5.5)


def test_undefined_similarities_lose() -> None:
    similarity = torch.eye(3)
    similarity[0, 0] = torch.nan
    assert top(similarity, size=3).tolist() == [0.0, 1.0, 1.0]


def test_candidate_sets_must_fit() -> None:
    with pytest.raises(ValueError, match="expected 2 to 3"):
        top(torch.eye(3), size=4)
    with pytest.raises(ValueError, match=r"expected \[Q,M\]"):
        top(torch.zeros(3, 2), size=2)
