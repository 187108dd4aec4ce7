"""Dry runs: what a configuration would compute, what is done already, what is learnt first, and how many passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from recon import config
from recon.encoders.runtime.precision import products
from recon.errors import InputError
from recon.files.sealed import whole
from recon.methods.base import fitted, passes_of
from recon.methods.facts import Passes
from recon.problem.fit import needs_fit
from recon.study.executors.tasks import Tasks
from recon.study.folders import check_run
from recon.study.presets import cost_of, training_steps
from recon.study.search import Search, Searches
from recon.study.settings import Settings
from recon.study.shared import Plan, plan
from recon.study.store import Store
from recon.study.task import Task
from recon.study.tune import planned_with, read_trials

NOTHING_DONE = "dry run: nothing was computed or written"
OUTPUTS = ("run", "output", "study", "studies")
"""Settings that name what a command writes; other paths are its inputs, but for the folder `artefacts`."""


def planned(tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines about what a benchmark would compute; raises the errors that it would raise before its first task."""
    settings = config.record(Settings, config.expand(tree), where="benchmark")
    check_run(settings)
    plans = plan(settings)
    yield f"run: {settings.run} ({'there' if settings.run.exists() else 'new'})"
    if _absent(settings.recording) and settings.simulate is not None:
        yield f"recording: {settings.recording}, simulated first, with {_listed(settings.simulate)}"
        yield from _of_plans(plans, settings.clips.count)
    else:
        yield f"recording: {settings.recording}"
        with products(settings.precision):
            yield from _of_tasks(Tasks.of(tree))
    yield NOTHING_DONE


def _absent(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "default settings"


def _of_plans(plans: list[Plan], clips: int) -> Iterator[str]:
    """Yield the rows of a benchmark whose recording is absent; nothing of them can be done already."""
    for entry in plans:
        yield f"{entry.row.label}: {clips} clips, {_cost(entry)}"
    yield _total([(entry, clips) for entry in plans], done=0)


def _of_tasks(known: Tasks) -> Iterator[str]:
    settings = known.bench.settings
    store, left, artefacts = Store(settings.run), list[Task](), dict[Path, None]()
    for number, task in enumerate(known.tasks):
        done = store.current(task.key, settings.artefacts)
        clips = len(task.batch.clips)
        yield f"{known.title(number)}: " + ("done already" if done else f"{clips} clips, {_cost(task.plan)}")
        if not done:
            left.append(task)
            artefacts |= dict.fromkeys(artefacts_asked(task))
    yield _total([(task.plan, len(task.batch.clips)) for task in left], done=len(known.tasks) - len(left))
    for there, about in ((True, "learnt already"), (False, "learnt first")):
        names = [path.name for path in artefacts if whole(path) == there]
        if names:
            yield f"{about}: {', '.join(names)}"


def artefacts_asked(task: Task) -> list[Path]:
    """Return the paths of the artefacts that a task's method learns or has learnt, as far as they can be known."""
    asked: list[Path] = []
    try:
        fitted(task.plan.method, replace(task.training(), asked=asked))
    except InputError:  # a method that reads one artefact to learn the next
        return asked
    return asked


def _cost(entry: Plan) -> str:
    fits = ", after its fidelity is fitted" if needs_fit(entry.fidelity) else ""
    return cost_of(passes_of(entry.method), training_steps(entry.method)) + fits


def _total(left: list[tuple[Plan, int]], *, done: int) -> str:
    passes = sum((passes_of(entry.method) * clips for entry, clips in left), Passes())
    return f"tasks: {len(left)} to do, {done} done already; about {_passes(passes)} of one clip in all"


def _passes(passes: Passes) -> str:
    return f"{passes.encoder:.0f} encoder and {passes.denoiser:.0f} denoiser passes"


def planned_search(tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines about what `recon tune` would compute."""
    tree = dict(config.expand(tree))
    if "searches" in tree:
        searches = config.record(Searches, tree.pop("searches"), where="tune.searches")
        for name, search in searches.named():
            yield from _combinations({**tree, "rows": [searches.of[name]["row"]], "search": search})
    else:
        yield from _combinations(tree)
    yield NOTHING_DONE


def _combinations(tree: dict[str, Any]) -> Iterator[str]:
    search = config.record(Search, tree.pop("search", None), where="tune.search")
    (entry, *_) = plan(config.record(Settings, tree, where="tune"))
    done = [trial["settings"] for trial in read_trials(search.study)] if search.study.exists() else []
    combinations = search.combinations()
    left = [chosen for chosen in combinations if chosen not in done]
    yield f"study: {search.study} ({'there' if search.study.exists() else 'new'})"
    yield from (f"{entry.row.label}: {chosen}" for chosen in left)
    each = (passes_of(planned_with(tree, chosen).method) for chosen in left)
    passes = sum(each, Passes()) * int(tree.get("clips", {}).get("count", 1))
    yield f"combinations: {len(left)} to do, {len(combinations) - len(left)} done already; about {_passes(passes)}"


@dataclass(frozen=True)
class NamedPath:
    """A file or folder that a configuration names."""

    name: str
    path: Path

    @property
    def state(self) -> str:
        """Whether it is there, and whether an interrupted training continues."""
        resumed = self.name in OUTPUTS and self.path.with_suffix(".training").exists()
        there = "there" if self.path.exists() else "absent"
        return f"{there}, an interrupted training resumes" if resumed else there


def paths_of(chosen: object) -> Iterator[NamedPath]:
    """Yield the paths in a command's settings, a record."""
    if is_dataclass(chosen):
        for entry in fields(chosen):
            value = getattr(chosen, entry.name)
            several = value if isinstance(value, tuple) else (value,)
            yield from (NamedPath(entry.name, path) for path in several if isinstance(path, Path))


def planned_files(chosen: object, *costs: str) -> Iterator[str]:
    """Yield lines about a command with one result: the files that it reads and writes, and its costs in words."""
    for place in paths_of(chosen):
        written = "writes" if place.name in OUTPUTS else "uses"
        yield f"{place.name}: {written} {place.path} ({place.state})"
    yield from costs
    yield NOTHING_DONE
