"""Tuning: grid search over a method's settings on validation clips, recorded in a study file to commit."""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from recon import config
from recon.errors import InputError
from recon.files import write_json
from recon.run.runner import reconstruct
from recon.study.provenance import planned_iterations
from recon.study.search import Place, Readings, Search, Searches
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.task import Task

VALIDATION = "oracle"


def tune(tree: Mapping[str, Any], *, say: Callable[[str], None] = lambda line: None) -> Path:
    """Run the search of a configuration (a benchmark with one row and a `search`) and return the study's file.

    Only validation clips (tier "oracle") are allowed. Finished combinations in the study are skipped. With `searches`
    instead of rows and `search`, the searches run one after another; returns the studies' folder.
    """
    tree = dict(config.expand(tree))
    if "searches" in tree:
        return _all(config.record(Searches, tree.pop("searches"), where="tune.searches"), tree, say)
    search = config.record(Search, tree.pop("search", None), where="tune.search")
    settings = config.record(Settings, tree, where="tune")
    plans = plan(settings)
    if settings.clips.tier != VALIDATION or len(plans) != 1:
        raise InputError(
            f"tune: expected one row (and one seed) on clips of tier {VALIDATION}, got {len(plans)} on tier "
            f"{settings.clips.tier}; settings are never chosen on test clips"
        )
    bench = Bench(settings, plans)
    study = _open_study(search, tree, bench)
    done = [trial["settings"] for trial in study["trials"]]
    combinations = [chosen for chosen in search.combinations() if chosen not in done]
    for number, chosen in enumerate(combinations, 1):
        began = time.monotonic()
        study["trials"] += _run(bench, search, tree, chosen)
        study["best"] = max(study["trials"], key=lambda trial: float(trial["objective"]), default=None)
        write_json(search.study, study)
        left = (time.monotonic() - began) * (len(combinations) - number)
        best = study["trials"][-1] if not study["best"] else study["best"]
        say(f"[{number}/{len(combinations)}] {chosen}: best so far {summary(best)}; about {left:.0f} s left")
    say(f"study: {search.study}; best {summary(study['best'])}")
    return search.study


def _all(searches: Searches, tree: Mapping[str, Any], say: Callable[[str], None]) -> Path:
    for name, search in searches.named():
        say(f"search: {name}")
        tune({**tree, "rows": [searches.of[name]["row"]], "search": search}, say=say)
    return searches.studies


def summary(trial: Mapping[str, Any]) -> str:
    """Return one line about a trial of a study."""
    scores = ", ".join(f"{name} {value:.4f}" for name, value in trial["scores"].items())
    return f"{trial['settings']} iterations {trial['iterations']} sigma {trial['sigma']}: {scores}"


def _open_study(search: Search, tree: Mapping[str, Any], bench: Bench) -> dict[str, Any]:
    """Return the study so far; raises InputError for a study of another search."""
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
        raise InputError(
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
    """Run one combination on all batches and score its steps; an interrupted run resumes from its checkpoint."""
    row = with_settings(tree["rows"][0], chosen)
    (planned,) = plan(config.record(Settings, {**tree, "rows": [row]}, where="tune"))
    seconds, tables = 0.0, []
    for batch in bench.batches:
        task = Task(bench, planned, batch)
        folder = bench.settings.run / "tuning" / task.key
        with Readings(folder / "readings.jsonl", search, bench.scorer(batch), title=str(dict(chosen))) as readings:
            readings.bar.total = planned_iterations(planned.method)
            result = reconstruct(
                task.method(),
                task.pose(),
                seed=planned.seed,
                trace=readings,
                checkpoint=folder / "state.safetensors",
            )
            readings.finish(result)
        seconds += result.seconds
        tables.append(readings.table())
        shutil.rmtree(folder)
    places = [place for place in tables[0] if all(place in table for table in tables)]
    return [_trial(search, chosen, place, [table[place] for table in tables], seconds) for place in places]


def _trial(
    search: Search, chosen: Mapping[str, Any], place: Place, tables: list[dict[str, list[float]]], seconds: float
) -> dict[str, Any]:
    pooled = {name: [value for table in tables for value in table[name]] for name in search.objective}
    means = {name: float(torch.tensor(values, dtype=torch.float64).nanmean()) for name, values in pooled.items()}
    objective = sum(weight * means[name] for name, weight in search.objective.items())
    step, sigma = place
    where = {"settings": dict(chosen), "iterations": step, "sigma": list(sigma)}
    return where | {"scores": means, "objective": objective, "seconds": round(seconds, 2)}
