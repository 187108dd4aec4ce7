"""Coverage of a run's calibrated intervals by groups, and their width beside that of homoscedastic intervals.

    python tests/exact/interval_coverage.py runs/intervals [--level 0.9]

Prints one JSON object per method: coverage over clips with its bootstrap interval; coverage within quarters of declared
half-width, early and late frames, dark, bright, still and moving parts of the reconstruction; mean half-width; and the
half-width of the interval of one width around the same reconstructions that covers as many pixels of these very clips
(an oracle, so that the comparison favours it), with the paired difference over clips. Scored frames only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

from recon.metrics.intervals.features import motion
from recon.metrics.statistics import bootstrap_interval, paired_difference
from recon.report.data import FinishedTask, read_tasks

Array = np.ndarray[Any, Any]
SAMPLED = 20_000
"""Pixels of a clip from which thresholds and the homoscedastic width are found."""


class ScoredClip(NamedTuple):
    """Scored frames `[T,H,W]` of one clip: error (truth − reconstruction), bounds, and the reconstruction."""

    truth: Array
    movie: Array
    lower: Array
    upper: Array

    @property
    def inside(self) -> Array:
        """Whether the truth is within the bounds; half precision of the file counts as inside."""
        return (self.truth >= self.lower - 5e-4) & (self.truth <= self.upper + 5e-4)

    @property
    def half_width(self) -> Array:
        """Half the distance between the bounds."""
        return (self.upper - self.lower) / 2

    @property
    def motion(self) -> Array:
        """Mean absolute change per frame around every pixel of the reconstruction."""
        return motion(torch.from_numpy(self.movie)[None])[0].numpy()


def clips_of(run: Path, tasks: list[FinishedTask]) -> Iterator[ScoredClip]:
    """Yield the clips of one method that have bounds."""
    with h5py.File(run / "clips.h5") as true:
        for task in tasks:
            with h5py.File(task.folder / "movie.h5") as file:
                yield from (scored(true[name], file[name]) for name in file if "lower" in file[name])


def scored(true: Any, own: Any) -> ScoredClip:
    cut = slice(int(true.attrs["warmup"]), len(true["truth"]) - int(true.attrs["tail"]))
    layers = [np.asarray(own[name][cut], dtype=np.float32) for name in ("reconstruction", "lower", "upper")]
    return ScoredClip(np.asarray(true["truth"][cut], dtype=np.float32) / 255, *layers)


def sample(values: Array, rng: np.random.Generator) -> Array:
    return rng.choice(values.ravel(), min(SAMPLED, values.size), replace=False)


def by_groups(clips: list[ScoredClip], rng: np.random.Generator) -> dict[str, float]:
    """Return coverage within groups of pixels, pooled over clips."""
    quarters = np.quantile(np.concatenate([sample(clip.half_width, rng) for clip in clips]), [0.25, 0.5, 0.75])
    light = np.median(np.concatenate([sample(clip.movie, rng) for clip in clips]))
    speed = np.median(np.concatenate([sample(clip.motion, rng) for clip in clips]))
    sums: dict[str, Array] = {}
    for clip in clips:
        late = (np.arange(len(clip.truth)) >= len(clip.truth) / 2)[:, None, None]
        number = np.searchsorted(quarters, clip.half_width)
        groups = {f"width, quarter {q + 1}": number == q for q in range(4)}
        groups |= {"early frames": ~late, "late frames": late, "dark parts": clip.movie <= light}
        groups |= {"bright parts": clip.movie > light, "still parts": clip.motion <= speed}
        groups["moving parts"] = clip.motion > speed
        for name, members in groups.items():
            mask = np.broadcast_to(members, clip.truth.shape)
            sums[name] = sums.get(name, np.zeros(2)) + np.array([(clip.inside & mask).sum(), mask.sum()])
    return {name: float(covered / count) for name, (covered, count) in sums.items() if count}


def report(clips: list[ScoredClip], level: float) -> dict[str, Any]:
    """Return the figures of one method."""
    rng = np.random.default_rng(0)
    coverage = np.array([clip.inside.mean() for clip in clips])
    width = np.array([clip.half_width.mean() for clip in clips])
    errors = np.concatenate([sample(np.abs(clip.truth - clip.movie), rng) for clip in clips])
    even = float(np.quantile(errors, coverage.mean()))
    cut = [(np.minimum(clip.movie + even, 1) - np.maximum(clip.movie - even, 0)).mean() / 2 for clip in clips]
    paired = paired_difference(width, np.array(cut), generator=np.random.default_rng(0))
    groups = by_groups(clips, rng)
    return {
        "clips": len(clips),
        "nominal": level,
        "coverage": float(coverage.mean()),
        "coverage_interval": bootstrap_interval(coverage, generator=np.random.default_rng(0)),
        "groups": groups,
        "worst_group": max(groups.items(), key=lambda item: abs(item[1] - level)),
        "half_width": float(width.mean()),
        "homoscedastic_half_width": float(np.mean(cut)),
        "narrower_by": 1 - float(width.mean() / np.mean(cut)),
        "paired_difference": [paired.difference, paired.low, paired.high],
        "movies_sd": float(np.mean([clip.truth.std() for clip in clips])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--level", type=float, default=0.9)
    options = parser.parse_args()
    tasks = read_tasks(options.run)
    for key in dict.fromkeys(task.key for task in tasks):
        clips = list(clips_of(options.run, [task for task in tasks if task.key == key]))
        if clips:
            sys.stdout.write(json.dumps({"method": key[1], **report(clips, options.level)}) + "\n")


if __name__ == "__main__":
    main()
