"""Tuning: a stated search over a method's settings on validation clips, written to a study that can be committed."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon import config
from recon.methods.combined import gaussian_filter
from recon.metrics import METRICS
from recon.scoring import Judge
from recon.settings import Settings
from recon.store import write_json
from recon.tasks import Bench, Task, plan

Sigma = tuple[float, float, float]
VALIDATION = "oracle"


@dataclass(frozen=True)
class Search:
    """What is searched: every combination of `space` (keys of the row → values), read at each of `iterations` and
    after smoothing by each of `sigma` (frames, pixels, pixels); the highest weighted sum of metrics `objective` wins.
    """

    study: Path
    space: Mapping[str, list[Any]] = field(default_factory=dict)
    iterations: tuple[int, ...] = ()
    sigma: tuple[Sigma, ...] = ((0.0, 0.0, 0.0),)
    objective: Mapping[str, float] = field(default_factory=lambda: {"video_correlation": 1.0, "ssim": 1.0})

    def __post_init__(self) -> None:
        unknown = sorted(set(self.objective) - set(METRICS))
        if unknown or not self.objective:
            known = ", ".join(METRICS)
            raise ValueError(f"objective: expected metrics out of {known}, got {unknown or 'none'}; add one")

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of the space's values.

        >>> Search(Path("s.json"), {"method.beta": [1.0, 2.0]}).combinations()
        [{'method.beta': 1.0}, {'method.beta': 2.0}]
        """
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*self.space.values())]


def tune(tree: Mapping[str, Any], *, say: Callable[[str], None] = lambda line: None) -> Path:
    """Run the search of a configuration (a benchmark with one row and a `search`) and return the study's file.

    Only validation clips (tier "oracle") are allowed. Finished combinations stand in the study and are not run again.
    """
    tree = dict(config.expand(tree))
    search = config.record(Search, tree.pop("search", None), where="tune.search")
    settings = config.record(Settings, tree, where="tune")
    if settings.clips.tier != VALIDATION or len(settings.rows) != 1:
        raise ValueError(
            f"tune: expected one row on clips of tier {VALIDATION}, got {len(settings.rows)} on tier "
            f"{settings.clips.tier}; settings are never chosen on test clips"
        )
    bench = Bench(settings, plan(settings))
    study = _open_study(search, tree, bench)
    done = [trial["settings"] for trial in study["trials"]]
    combinations = [chosen for chosen in search.combinations() if chosen not in done]
    for number, chosen in enumerate(combinations, 1):
        began = time.monotonic()
        study["trials"] += _run(bench, search, tree, chosen)
        study["best"] = max(study["trials"], key=lambda trial: float(trial["objective"]))
        write_json(search.study, study)
        left = (time.monotonic() - began) * (len(combinations) - number)
        best = study["trials"][-1] if not study["best"] else study["best"]
        say(f"[{number}/{len(combinations)}] {chosen}: best so far {summary(best)}; about {left:.0f} s left")
    say(f"study: {search.study}; best {summary(study['best'])}")
    return search.study


def summary(trial: Mapping[str, Any]) -> str:
    """Return one line about a trial of a study."""
    scores = ", ".join(f"{name} {value:.4f}" for name, value in trial["scores"].items())
    return f"{trial['settings']} iterations {trial['iterations']} sigma {trial['sigma']}: {scores}"


def _open_study(search: Search, tree: Mapping[str, Any], bench: Bench) -> dict[str, Any]:
    """Return the study so far; one about something else is refused rather than mixed or overwritten."""
    about = {
        "config": json.loads(json.dumps(tree, default=str)),
        "space": dict(search.space),
        "iterations": list(search.iterations),
        "sigma": [list(sigma) for sigma in search.sigma],
        "objective": dict(search.objective),
        "recording": bench.recording.fingerprint(),
        "trials": [],
        "best": None,
    }
    if not search.study.exists():
        return about
    study: dict[str, Any] = json.loads(search.study.read_text())
    same = ("config", "iterations", "sigma", "objective", "recording")
    changed = [key for key in same if study.get(key) != about[key]]
    if changed:
        raise ValueError(
            f"{search.study}: expected a study of the same search, got other {changed}; name another file or remove it"
        )
    return study | {"space": about["space"]}


def with_settings(tree: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a row's tree with dotted keys replaced.

    >>> with_settings({"method": {"beta": 1}}, {"method.beta": 2})
    {'method': {'beta': 2}}
    """
    changed = copy.deepcopy(dict(tree))
    for key, value in chosen.items():
        *parents, last = key.split(".")
        place = changed
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return changed


def _run(bench: Bench, search: Search, tree: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run one combination over all batches and score it along the way."""
    row = with_settings(tree["rows"][0], chosen)
    (planned,) = plan(config.record(Settings, {**tree, "rows": [row]}, where="tune"))
    began, tables = time.monotonic(), []
    for batch in bench.batches:
        task = Task(bench, planned, batch)
        judge = bench.scorer(batch)
        movies = _watched(task, search.iterations)
        tables.append(
            {
                (step, sigma): _scores(search, gaussian_filter(movie, sigma), judge)
                for step, movie in movies
                for sigma in search.sigma
            }
        )
    seconds = time.monotonic() - began
    return [_trial(search, chosen, key, [table[key] for table in tables], seconds) for key in tables[0]]


def _watched(task: Task, iterations: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield (step, movie) at the asked iterations, or the last iterate when none are asked for."""
    generator = torch.Generator().manual_seed(task.bench.settings.seed)
    step, movie = 0, None
    for step, iterate in enumerate(task.method()(task.pose(), generator), 1):
        movie = iterate.movie.cpu()
        if step in iterations:
            yield step, movie
    if movie is not None and not iterations:
        yield step, movie


def _scores(search: Search, movie: Tensor, judge: Judge) -> dict[str, Tensor]:
    span = slice(judge.first, judge.end)
    seen, shown = movie[:, :, span], judge.batch.movie[:, :, span]
    return {name: METRICS[name](seen, shown, judge.pixels) for name in search.objective}


def _trial(
    search: Search, chosen: Mapping[str, Any], key: tuple[int, Sigma], tables: list[dict[str, Tensor]], seconds: float
) -> dict[str, Any]:
    means = {name: float(torch.cat([table[name] for table in tables]).nanmean()) for name in search.objective}
    objective = sum(weight * means[name] for name, weight in search.objective.items())
    step, sigma = key
    place = {"settings": dict(chosen), "iterations": step, "sigma": list(sigma)}
    return place | {"scores": means, "objective": objective, "seconds": round(seconds, 2)}
