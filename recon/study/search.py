"""Hyper-parameter searches, and the scores of one combination at several steps of its run."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative
from recon.methods.combined import gaussian_filter
from recon.metrics import primary, ranked
from recon.metrics.metric import OF_MOVIES
from recon.run.trace import drop_lines, read_trace
from recon.run.watch import folder_name
from recon.study.scorer import Scorer
from recon.types import Iterate, Reconstruction

Sigma = tuple[NonNegative, NonNegative, NonNegative]
Place = tuple[int, Sigma]
"""Iteration and width of smoothing at which a combination is scored."""


@dataclass(frozen=True)
class Search:
    """Grid search over `space` (keys of the row → values), scored at each of `iterations` and smoothing `sigma`.

    `sigma` is in (frames, pixels, pixels). The highest weighted sum of metrics, `objective`, wins.
    """

    study: Path
    space: Mapping[str, list[Any]] = field(default_factory=dict)
    iterations: tuple[Count, ...] = ()
    sigma: tuple[Sigma, ...] = ((0.0, 0.0, 0.0),)
    objective: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(primary(), 1.0))

    def __post_init__(self) -> None:
        known = [metric.name for metric in ranked(*OF_MOVIES)]
        unknown = sorted(set(self.objective) - set(known))
        if unknown or not self.objective:
            raise InputError(f"objective: expected metrics out of {', '.join(known)}, got {unknown or 'none'}; add one")

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of the space's values.

        >>> Search(Path("s.json"), {"method.beta": [1.0, 2.0]}).combinations()
        [{'method.beta': 1.0}, {'method.beta': 2.0}]
        """
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*self.space.values())]


@dataclass(frozen=True)
class Searches:
    """One search for several rows: `of` maps a name to its `row`, `space` and `iterations`; all else is shared.

    At most `budget` combinations per row, so that no method is tuned harder than another. `only`: names to run. The
    study of a row is `studies`/NAME.json.
    """

    studies: Path
    of: Mapping[str, Mapping[str, Any]]
    budget: Count
    only: tuple[str, ...] = ()
    sigma: tuple[Sigma, ...] = ((0.0, 0.0, 0.0),)
    objective: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(primary(), 1.0))

    def __post_init__(self) -> None:
        unknown = sorted(set(self.only) - set(self.of))
        if unknown:
            raise InputError(f"searches.only: expected names out of {sorted(self.of)}, got {unknown}; correct them")
        for name, entry in self.of.items():
            if folder_name(name) != name:
                raise InputError(f"searches.of: expected names of files, got {name!r}; leave out slashes and dots")
            if "row" not in entry or set(entry) - {"row", "space", "iterations"}:
                raise InputError(
                    f"searches.of.{name}: expected row, space and iterations, got {sorted(entry)}; correct"
                )
            tried = math.prod(len(values) for values in entry.get("space", {}).values())
            if tried > self.budget:
                raise InputError(
                    f"searches.of.{name}: expected at most {self.budget} combinations, got {tried}; drop some"
                )

    def named(self) -> list[tuple[str, dict[str, Any]]]:
        """Return name and `search` of each row to tune."""
        shared = {"sigma": [list(sigma) for sigma in self.sigma], "objective": dict(self.objective)}
        return [
            (name, shared | {"study": self.studies / f"{name}.json"} | {k: v for k, v in entry.items() if k != "row"})
            for name, entry in self.of.items()
            if not self.only or name in self.only
        ]


class Readings:
    """A trace that scores the steps of a search and appends the scores to a file, for resuming.

    A context manager. A run resumed at step k first drops the lines from k onwards.
    """

    def __init__(self, path: Path, search: Search, judge: Scorer, *, title: str = "") -> None:
        self.path, self.search, self.judge = path, search, judge
        # disable=None: no bar unless standard error is a terminal.
        self.bar = tqdm(desc=title, unit="step", leave=False, disable=None)
        self._started = False

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        if not self._started:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            drop_lines(self.path, step)
            self._started = True
        self.bar.update(step - self.bar.n)
        if step in self.search.iterations:
            self._read(step, iterate.movie)

    def __enter__(self) -> Readings:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def finish(self, result: Reconstruction) -> None:
        """Score the end of a run if the search names no steps."""
        if not self.search.iterations:
            drop_lines(self.path, 0)
            self._read(result.iterations, result.movie)

    def table(self) -> dict[Place, dict[str, list[float]]]:
        """Return each metric per clip, by step and width; undefined scores are NaN."""
        found: dict[Place, dict[str, list[float]]] = {}
        for line in read_trace(self.path):
            for sigma, scores in line["readings"]:
                values = {name: [float("nan") if v is None else v for v in row] for name, row in scores.items()}
                found[int(line["step"]), tuple(sigma)] = values
        return found

    def _read(self, step: int, movie: Tensor) -> None:
        readings = [[sigma, self._scores(gaussian_filter(movie.cpu(), sigma))] for sigma in self.search.sigma]
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "readings": readings}) + "\n")

    def _scores(self, movie: Tensor) -> dict[str, list[float | None]]:
        found = self.judge.named_scores(movie, list(self.search.objective))
        scores: dict[str, Any] = {name: values.double().tolist() for name, values in found.items()}
        return {name: [value if value == value else None for value in row] for name, row in scores.items()}
