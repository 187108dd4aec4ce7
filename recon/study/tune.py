"""Tuning: grid search over a method's settings on validation clips, recorded in a study file to commit."""

from __future__ import annotations

import copy
import gzip
import io
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from recon import config
from recon.data.limits import gunzip
from recon.encoders.runtime.precision import products
from recon.errors import InputError
from recon.files import claim, finite, write_bytes, write_json
from recon.files.code_version import code_version
from recon.methods.base import planned_iterates
from recon.methods.named_files import content_named
from recon.run.runner import reconstruct
from recon.study.folders import check_run
from recon.study.manifest import RUN
from recon.study.search import Place, Readings, Search, Searches
from recon.study.settings import Settings
from recon.study.shared import Bench, Plan, plan
from recon.study.task import Task
from recon.study.validation import Problems, validated

VALIDATION = "oracle"


def tune(tree: Mapping[str, Any], *, say: Callable[[str], None] = lambda line: None) -> Path:
    """Run the search of a configuration (a benchmark with one row and a `search`) and return the study's file.

    Only validation clips (tier "oracle") are allowed. The study's file is a summary (search and best trial); all trials
    are in `trials_file` beside it. Finished combinations in the study are skipped. With `searches` instead of rows and
    `search`, the searches run one after another; returns the studies' folder.
    """
    tree = dict(config.expand(tree))
    if "searches" in tree:
        return _all(config.record(Searches, tree.pop("searches"), where="tune.searches"), tree, say)
    search = config.record(Search, tree.pop("search", None), where="tune.search")
    bench = _validated(search, tree)
    with products(bench.settings.precision):
        return _search(bench, search, tree, say)


def _validated(search: Search, tree: Mapping[str, Any]) -> Bench:
    """Return the bench of a search; raises InputError that lists what cannot run in any of its combinations."""
    settings = config.record(Settings, tree, where="tune")
    if settings.clips.tier != VALIDATION or len(settings.rows) != 1 or len(settings.rows[0].seeds) > 1:
        seeds = sum(max(len(row.seeds), 1) for row in settings.rows)
        raise InputError(
            f"tune: expected one row (and one seed) on clips of tier {VALIDATION}, got {seeds} on tier "
            f"{settings.clips.tier}; settings are never chosen on test clips"
        )
    named = {f" with {chosen}" if chosen else "": chosen for chosen in search.combinations() or [{}]}
    label = settings.rows[0].label
    rows = [with_settings(tree["rows"][0], chosen) | {"label": label + name} for name, chosen in named.items()]
    places = [f"rows[0]{name}" for name in named]
    every = {**tree, "rows": rows}
    validated(every, where="tune", places=places, settled=check_run, checks=[partial(_unreached, search)])
    return Bench(settings, plan(settings))


def _unreached(search: Search, bench: Bench) -> Iterator[str]:
    """Yield combinations whose run ends before an iteration at which it is read."""
    last = max(search.iterations, default=0)
    for entry in bench.plans:
        each = planned_iterates(entry.method)
        steps = None if each is None else each * len(bench.settings.names(entry.row))
        if steps is not None and last > steps:
            yield (
                f"search.iterations: expected at most {steps}, the iterates of {entry.row.label}, got {last}; raise "
                "the iterations of the method"
            )


def _search(bench: Bench, search: Search, tree: Mapping[str, Any], say: Callable[[str], None]) -> Path:
    study, trials = _open_study(search, tree, bench)
    done = [trial["settings"] for trial in trials]
    combinations = [chosen for chosen in search.combinations() if chosen not in done]
    claim(bench.settings.run, RUN)
    for number, chosen in enumerate(combinations, 1):
        began = time.monotonic()
        trials += _run(bench, search, tree, chosen)
        _write_study(search.study, study, trials)
        left = (time.monotonic() - began) * (len(combinations) - number)
        say(f"[{number}/{len(combinations)}] {chosen}: best so far {summary(study['best'])}; about {left:.0f} s left")
    _write_study(search.study, study, trials)
    say(f"study: {search.study}; best {summary(study['best'])}")
    return search.study


def _all(searches: Searches, tree: Mapping[str, Any], say: Callable[[str], None]) -> Path:
    problems = Problems()
    for name, entry in searches.named():
        asked = config.record(Search, entry, where=f"tune.{name}")
        row = {"rows": [searches.of[name]["row"]]}
        problems.tried(partial(_validated, asked, {**tree, **row}), about=f"{name}: ")
    problems.refuse("tune")
    for name, search in searches.named():
        say(f"search: {name}")
        tune({**tree, "rows": [searches.of[name]["row"]], "search": search}, say=say)
    return searches.studies


def summary(trial: Mapping[str, Any] | None) -> str:
    """Return one line about a trial of a study."""
    if trial is None:
        return "none: no run reached a step at which it is read"
    scores = ", ".join(f"{name} {_number(value):.4f}" for name, value in trial["scores"].items())
    return f"{trial['settings']} iterations {trial['iterations']} sigma {trial['sigma']}: {scores}"


def trials_file(study: Path) -> Path:
    """Return where all trials of a study are kept.

    >>> trials_file(Path("studies/ridge.json")).name
    'ridge.trials.json.gz'
    """
    return study.with_suffix(".trials.json.gz")


def read_trials(study: Path) -> list[dict[str, Any]]:
    """Return all trials of a study, in the order in which they were run."""
    path = trials_file(study)
    try:
        trials: list[dict[str, Any]] = json.loads(gunzip(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected the trials of {study.name}, got {error}; restore the file, or remove both to search anew"
        ) from error
    return trials


def _write_study(path: Path, study: dict[str, Any], trials: list[dict[str, Any]]) -> None:
    """Write trials, then summary: interrupted in between, the next call finds the best trial again."""
    study["best"] = max(trials, key=lambda trial: _number(trial["objective"], undefined=-math.inf), default=None)
    stream = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as file:  # no name, no time: the same trials, the same bytes
        file.write(json.dumps(finite(trials), default=str).encode())
    write_bytes(trials_file(path), stream.getvalue())
    write_json(path, study)


def _number(value: float | None, *, undefined: float = math.nan) -> float:
    """Return a score as a number; files hold null where it is undefined."""
    return undefined if value is None or math.isnan(value) else value


def _open_study(search: Search, tree: Mapping[str, Any], bench: Bench) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return study and trials so far; raises InputError for a study of another search or of other code."""
    about = {
        "config": json.loads(json.dumps(tree, default=str)),
        "space": dict(search.space),
        "iterations": list(search.iterations),
        "sigma": [list(sigma) for sigma in search.sigma],
        "objective": dict(search.objective),
        "recording": bench.recording.fingerprint(),
        "content": [bench.hashes, content_named([(one.method, one.fidelity) for one in bench.plans])],
        "best": None,
    }
    if not search.study.exists():
        return about, []
    study: dict[str, Any] = json.loads(search.study.read_text())
    trials = read_trials(search.study)
    # Studies of earlier versions do not tell the content of encoders and weights.
    known = ["content"] if "content" in study else []
    same = ["config", "iterations", "sigma", "objective", "recording", *known]
    changed = [key for key in same if study.get(key) != about[key]] or _other_code(trials, tree, bench)
    if changed:
        raise InputError(
            f"{search.study}: expected a study of the same search, got other {changed}; name another file or remove it"
        )
    return study | {"space": about["space"]}, trials


def _other_code(trials: Sequence[Mapping[str, Any]], tree: Mapping[str, Any], bench: Bench) -> list[str]:
    """Return ["code"] where some trial of a study was computed by other code."""
    found = {(json.dumps(trial["settings"]), trial.get("code")) for trial in trials}
    same = all(code == _code(bench, planned_with(tree, json.loads(chosen))) for chosen, code in found)
    return [] if same else ["code"]


def planned_with(tree: Mapping[str, Any], chosen: Mapping[str, Any]) -> Plan:
    """Return the plan of one combination."""
    row = with_settings(tree["rows"][0], chosen)
    (planned,) = plan(config.record(Settings, {**tree, "rows": [row]}, where="tune"))
    return planned


def _code(bench: Bench, planned: Plan) -> str:
    return code_version(__name__, *Task(bench, planned, bench.batches[0]).modules)


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
    planned = planned_with(tree, chosen)
    seconds, tables, code = 0.0, [], _code(bench, planned)
    for batch in bench.batches:
        task = Task(bench, planned, batch)
        folder = bench.settings.run / "tuning" / task.key
        with Readings(folder / "readings.jsonl", search, bench.scorer(batch), title=str(dict(chosen))) as readings:
            readings.bar.total = planned_iterates(planned.method)
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
    found = (_trial(search, chosen, place, [table[place] for table in tables], seconds) for place in places)
    return [trial | {"code": code} for trial in found]


def _trial(
    search: Search, chosen: Mapping[str, Any], place: Place, tables: list[dict[str, list[float]]], seconds: float
) -> dict[str, Any]:
    pooled = {name: [value for table in tables for value in table[name]] for name in search.objective}
    means = {name: float(torch.tensor(values, dtype=torch.float64).nanmean()) for name, values in pooled.items()}
    objective = sum(weight * means[name] for name, weight in search.objective.items())
    step, sigma = place
    where = {"settings": dict(chosen), "iterations": step, "sigma": list(sigma)}
    return where | {"scores": means, "objective": objective, "seconds": round(seconds, 2)}
