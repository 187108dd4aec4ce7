"""Null distribution by circular shifts: refit with each repeat shifted by a random lag.

A circular shift keeps each repeat's drift, slow states and temporal order, and breaks only the link to the movie. The
models are refitted for every draw. Permuting the scores of a single fit would be too lenient: repeats tested in one
fold are training data of the others, so that the scores are not independent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recon.files import digest, finite, write_json

Measure = Callable[[Tensor], Mapping[str, float]]
"""Maps responses `[n,repeats,segments]` to accuracies by name."""


def turned(responses: Tensor, *, seed: int) -> Tensor:
    """Return responses `[n,repeats,segments]` with each repeat circularly shifted by a random number of segments."""
    _, repeats, segments = responses.shape
    turns = torch.randint(segments, (repeats,), generator=torch.Generator().manual_seed(seed)).tolist()
    return torch.stack([responses[:, repeat].roll(turn, -1) for repeat, turn in enumerate(turns)], 1)


def turned_worlds(
    responses: Tensor, worlds: int, measure: Measure, *, keep: Path, progress: bool = False
) -> list[dict[str, float]]:
    """Return the measurements in `worlds` draws of the null distribution; draws cached in `keep` are reused."""
    done = _kept(keep)
    disable = None if progress else True
    for seed in tqdm(range(len(done), worlds), desc="circular shifts", unit="draw", leave=False, disable=disable):
        done.append(dict(measure(turned(responses, seed=seed))))
        write_json(keep, {"draws": done, "digest": digest(finite(done))})
    return done[:worlds]


def _kept(path: Path) -> list[dict[str, float]]:
    """Return the draws kept in a file; none from a missing or damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return list(found["draws"]) if found["digest"] == digest(found["draws"]) else []
    except (OSError, ValueError, TypeError, KeyError):
        return []


def against_chance(seen: float, by_chance: Sequence[float]) -> dict[str, float]:
    """Return the 95 % interval of the null distribution, and the one-sided p value of the observed value.

    >>> against_chance(0.5, [0.1, 0.2, 0.3])["p"]
    0.25
    """
    low, high = np.quantile(by_chance, [0.025, 0.975])
    above = sum(value >= seen - 1e-12 for value in by_chance)
    return {"low": float(low), "high": float(high), "p": (1 + above) / (1 + len(by_chance))}
