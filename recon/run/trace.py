"""Traces of a run: oracle scores and a JSON-lines log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from recon.errors import InputError
from recon.files import replacing
from recon.types import Iterate


@dataclass(frozen=True)
class GroundTruth:
    """The presented movies `[B,C,T,H,W]` and their scoring; held by traces and scores, never by a method.

    The first `warmup` and last `tail` frames and pixels outside `pixel_mask` `[H,W]` are not scored.
    """

    movie: Tensor
    warmup: int = 0
    tail: int = 0
    pixel_mask: Tensor | None = None
    metrics: tuple[str, ...] = ("video_correlation", "ssim")
    _last: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, iterate: Iterate) -> dict[str, Tensor]:
        """Return the scores of an iterate; traces share the computation."""
        if self._last.get("iterate") is not iterate:
            self._last.update(iterate=iterate, scores=self.scores(iterate.movie))
        scores: dict[str, Tensor] = self._last["scores"]
        return scores

    @torch.no_grad()
    def scores(self, movie: Tensor) -> dict[str, Tensor]:
        """Return each metric `[B]` of a reconstruction `[B,C,T,H,W]` over the scored frames."""
        from recon.metrics import METRICS

        scored = slice(self.warmup, self.movie.shape[2] - self.tail)
        shown, seen = self.movie[:, :, scored].to(movie), movie[:, :, scored]
        pixel_mask = None if self.pixel_mask is None else self.pixel_mask.to(movie.device)
        return {name: METRICS[name].function(seen, shown, pixel_mask) for name in self.metrics}


class ClosableTrace(Protocol):
    """A trace that logs its last step when it is closed."""

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None: ...

    def close(self) -> None:
        """Log the last step, if not logged yet."""


@dataclass(frozen=True)
class Traces:
    """Several traces as one."""

    members: tuple[ClosableTrace, ...]

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        for member in self.members:
            member(step, iterate, rates)

    def close(self) -> None:
        """Close every member."""
        for member in self.members:
            member.close()


class JsonlTrace:
    """Appends one line per logged step to a file: step, seconds, evaluations, terms and oracle metrics per clip.

    Metrics cost more than terms, so their steps become sparser: ten between a step and its double. A run resumed at
    step k first drops the lines from k on, and a truncated last line.
    """

    def __init__(self, path: Path, *, every: int = 1, truth: GroundTruth | None = None) -> None:
        self.path, self.every, self.truth = path, at_least_one(every), truth
        self._started = False
        self._unfinished: tuple[int, Iterate, Mapping[str, float]] | None = None

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        if not self._started:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            drop_lines(self.path, step)
            self._started = True
        self._unfinished = (step, iterate, rates)
        if step % self.every == 0 or is_milestone(step):
            self._log(step, iterate, rates, scored=is_scored(step, self.every))

    def close(self) -> None:
        """Log the last step with its scores, if not logged yet."""
        if self._unfinished is not None:
            drop_lines(self.path, self._unfinished[0])
            self._log(*self._unfinished, scored=True)

    def _log(self, step: int, iterate: Iterate, rates: Mapping[str, float], *, scored: bool) -> None:
        metrics = self.truth.of(iterate) if self.truth and scored else {}
        line: dict[str, Any] = {"step": step, **{name: _number(value) for name, value in rates.items()}}
        line["terms"] = {name: _numbers(value) for name, value in iterate.terms.items()}
        line["metrics"] = {name: _numbers(value) for name, value in metrics.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._unfinished = None if scored else self._unfinished


def at_least_one(every: int) -> int:
    """Return the interval between two log entries, in steps; raises InputError below 1."""
    if every < 1:
        raise InputError(f"every (steps between two log entries): expected at least 1, got {every}")
    return every


def is_milestone(step: int) -> bool:
    """Whether a step is 0, 1, 2, 5, 10, 20, 50 …: pictures cost too much for every step.

    >>> [step for step in range(60) if is_milestone(step)]
    [0, 1, 2, 5, 10, 20, 50]
    """
    return step == 0 or step / 10 ** math.floor(math.log10(step)) in (1, 2, 5)


def is_scored(step: int, every: int) -> bool:
    """Whether a step is log-spaced or a multiple of `every`, with multiples becoming sparser.

    >>> [step for step in range(30, 100) if is_scored(step, 2)]
    [30, 32, 34, 36, 38, 40, 44, 48, 50, 52, 56, 60, 64, 68, 72, 76, 80, 88, 96]
    """
    octaves = max(0, int(math.log2(max(step, 1) / (10 * every))))
    return is_milestone(step) or step % (every * 2**octaves) == 0


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no NaN


def _numbers(values: Tensor) -> list[float | None]:
    return [_number(value) for value in values.detach().cpu().double().flatten().tolist()]


def drop_lines(path: Path, step: int) -> None:
    """Remove the lines from a step on and truncated ones; the file is replaced atomically."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) < step]
    if len(kept) == len(lines):
        return
    with replacing(path) as stream:
        stream.write("".join(f"{line}\n" for line in kept).encode())


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def read_trace(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a trace, one per step; a line being written is left out."""
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    return [json.loads(line) for line in lines if math.isfinite(_step_of(line))]
