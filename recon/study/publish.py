"""One task of a run on disk: watched, scored, written aside and published."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from recon import config
from recon.files import write_bytes, write_json
from recon.files.code_version import library_versions
from recon.methods.base import planned_iterates
from recon.run.trace import GroundTruth
from recon.run.watch import TaskFolders, Watch, folder_name
from recon.study.intervals import Declared, calibrating, declare, declared_scores
from recon.study.outputs import movie_file, to_yaml
from recon.study.provenance import artefacts_of, learning_time
from recon.study.setups import setup_of
from recon.study.store import Store
from recon.study.task import Solved, Task
from recon.types import Reconstruction


def run_task(task: Task, store: Store, *, title: str = "") -> Reconstruction:
    """Reconstruct the batch of a task, score it and publish the result; an interrupted task resumes."""
    places = TaskFolders(store.partial(task.key), store.root / "tensorboard" / event_folder(task))
    with watch(task, places, title=f"{title} {task.label}") as trace:
        solved = task.solve(trace=trace, checkpoint=places.checkpoint)
    _write(task, places.task, solved, declare(task, solved.result))
    store.publish(task.key, drop=[places.checkpoint.name])
    return solved.result


def scored(task: Task, solved: Solved, declared: Declared | None) -> list[dict[str, Any]]:
    """Return the rows of the table of a solved task, one per clip; `declared`: its calibrated intervals."""
    more = {"learning_seconds": learning_time(solved.method)}
    found = {name: values.tolist() for name, values in declared_scores(task, declared).items()}
    rows = task.rows(solved.result, solved.problem)
    if task.bench.settings.intervals is not None and declared is None:
        reason = f"no intervals under {task.plan.row.condition}: calibration clips are shown once"
        rows = [row | {"message": "; ".join(filter(None, [row["message"], reason]))} for row in rows]
    return [row | more | {name: values[clip] for name, values in found.items()} for clip, row in enumerate(rows)]


def event_folder(task: Task) -> str:
    """Return the name of the folder of a task's events, below those of all tasks."""
    name = folder_name(task.plan.row.label)
    if len(task.plan.row.seeds) > 1:
        name += f"/seed {task.plan.seed}"
    if len(task.bench.batches) > 1:
        name += f"/from trial {task.batch.trials[0].index}"
    return name


def watch(task: Task, places: TaskFolders, *, title: str) -> Watch:
    """Return the traces of a task, for a `with` block: events for TensorBoard, a log and a progress bar."""
    settings, recording, scorer = task.bench.settings, task.bench.recording, task.bench.scorer(task.batch)
    return Watch(
        places,
        GroundTruth(task.shown.movie, settings.frames.warmup, settings.frames.tail, scorer.pixel_mask),
        labels=[f"trial {trial.index}" for trial in task.batch.trials],
        frame_rate=recording.frame_rate,
        every=settings.trace_every,
        title=title,
        setup=setup_of(task.plan, task.batch, plans=task.bench.plans, behavior=task.saw.behavior),
        total=planned_iterates(task.plan.method),
        progress=task.bench.progress,
    )


def _write(task: Task, folder: Path, solved: Solved, declared: Declared | None) -> None:
    result, method = solved.result, solved.method
    movie = result.movie.cpu()
    described = config.inscribed({**vars(task.plan.row), "seed": task.plan.seed})
    write_bytes(folder / "config.yaml", to_yaml(described))
    write_bytes(folder / "movie.h5", movie_file(task.batch, movie, result.uncertainty, declared))
    write_json(folder / "curves.json", task.bench.scorer(task.shown).curves(movie))
    rows = scored(task, solved, declared)
    own = task.bench.settings.artefacts  # shipped weights lie elsewhere
    made, calibration = artefacts_of(method), calibrating(task)
    if calibration is not None and not task.unnamed:
        made = made | {calibration.path}
    learnt = sorted(path.name for path in made if path.parent == own)
    about = {"saw": asdict(task.saw), "artefacts": learnt, "libraries": library_versions()}
    write_json(folder / "row.json", {"rows": rows, **about})
