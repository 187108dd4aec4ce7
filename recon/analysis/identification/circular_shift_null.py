"""What chance is, learnt with the rest: everything done again with every repeat turned in time.

An area that is thought to know nothing of a movie may know something, if only how long it has been on. Turned by a
random number of segments, each repeat keeps its drift, its slow states and what follows what; only the link to the
movie is gone. All is then learnt anew: repeats that are told apart are also learnt from in other folds, so that a test
on what was learnt once would take them for more independent than they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recon.files import write_json

Measure = Callable[[Tensor], Mapping[str, float]]
"""Responses `[n,repeats,segments]` → shares of right answers by name."""


def turned(responses: Tensor, *, seed: int) -> Tensor:
    """Return responses `[n,repeats,segments]` with every repeat turned in time by a random number of segments."""
    _, repeats, segments = responses.shape
    turns = torch.randint(segments, (repeats,), generator=torch.Generator().manual_seed(seed)).tolist()
    return torch.stack([responses[:, repeat].roll(turn, -1) for repeat, turn in enumerate(turns)], 1)


def turned_worlds(
    responses: Tensor, worlds: int, measure: Measure, *, keep: Path, progress: bool = False
) -> list[dict[str, float]]:
    """Return what is measured in so many turned worlds; those that `keep` holds already are not made again."""
    done: list[dict[str, float]] = json.loads(keep.read_text(encoding="utf-8")) if keep.exists() else []
    disable = None if progress else True
    for seed in tqdm(range(len(done), worlds), desc="turned in time", unit="world", leave=False, disable=disable):
        done.append(dict(measure(turned(responses, seed=seed))))
        write_json(keep, done)
    return done[:worlds]


def against_chance(seen: float, by_chance: Sequence[float]) -> dict[str, float]:
    """Return the range that holds 95 % of what chance gave, and the p value of as much as was seen or more.

    >>> against_chance(0.5, [0.1, 0.2, 0.3])["p"]
    0.25
    """
    low, high = np.quantile(by_chance, [0.025, 0.975])
    above = sum(value >= seen - 1e-12 for value in by_chance)
    return {"low": float(low), "high": float(high), "p": (1 + above) / (1 + len(by_chance))}
