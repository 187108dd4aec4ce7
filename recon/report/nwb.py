"""A finished run as an NWB file: reconstructions, scores, clips and provenance beside the session's identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.hdf5 import open_hdf5
from recon.data.layout import Array
from recon.data.written.nwb_file import (
    NwbSession,
    check_nwb,
    facts_table,
    flat,
    new_nwb,
    streamed,
    table,
    timing,
    write_nwb,
)
from recon.errors import InputError
from recon.files import digest, read_json
from recon.files.code_version import installed_version
from recon.metrics import COSTS, METRICS
from recon.report.data import FinishedTask, read_tasks
from recon.report.strips import TrueMovie, true_movies
from recon.study import manifest
from recon.study.folders import INPUTS, RunFolder
from recon.study.outputs import columns
from recon.study.seen import seen_in

UNIT = "grey level (0 black, 1 white)"
LAYERS = {
    "reconstruction": "Reconstruction",
    "deviation": "Standard deviation over the draws of the sampler",
    "lower": "Lower bound of the calibrated 90 % interval",
    "upper": "Upper bound of the calibrated 90 % interval",
    "sd": "Calibrated standard deviation",
}
MEANINGS = {
    "task": "Key of the task: a hash of data, settings, seed and code.",
    "series": "Name of the series with the reconstruction; empty if there is none.",
    "recording": "Recording that the responses are from.",
    "trial": "Trial of the clip in its recording.",
    "video_id": "Content of the clip; equal for repeats.",
    "method": "Method, as the row of the run is labelled.",
    "encoder": "Encoders that the method inverts.",
    "fidelity": "Fidelity of the responses.",
    "bins": "Frames that responses are averaged over.",
    "neurons": "Neurons that the method saw.",
    "seed": "Seed of the method.",
    "condition": "What the method was given: recorded responses, a reference or a null.",
    "status": "How the reconstruction ended.",
    "iterations": "Iterations of the method.",
    "behavior": "Whether the behavior of the clip decided the movie.",
    "text": "Texts that decided the movie.",
    "animals": "Other animals whose responses decided the movie.",
    "pretrained": "Pretrained networks that decided the movie.",
    "oracle": "Whether something was taken from the true movie.",
    "message": "Reasons of undefined scores, and remedies.",
}
"""Meanings of the columns of the scores that are no score."""


@dataclass(frozen=True)
class ClipsOnClock:
    """The clips of a run, one after the other at `rate` Hz; clip `trial` begins at frame `first[trial]`."""

    movies: Mapping[str, TrueMovie]
    first: Mapping[str, int]
    rate: float

    def times(self, trials: Sequence[str]) -> Array:
        """Return the times `(S,)` of the frames of clips, in seconds."""
        frames = [self.first[trial] + np.arange(len(self.movies[trial].movie)) for trial in trials]
        return np.concatenate(frames) / self.rate


@dataclass(frozen=True)
class RunSeries:
    """One series of the file: a layer of the movies of the tasks with one row of the table and one seed."""

    name: str
    layer: str
    tasks: Sequence[FinishedTask]
    places: Mapping[str, Path]
    """File of every clip that was reconstructed, in the order of the clock."""


def write_run(
    run: Path, path: Path, session: NwbSession | None = None, *, truth: bool = False, overwrite: bool = False
) -> list[str]:
    """Write a finished run as an NWB file, with `truth` also the true clips; return sentences about the content."""
    check_nwb(path, overwrite=overwrite)
    manifest.check(run, of=manifest.RUN, needs=INPUTS)
    tasks, clips, given = read_tasks(run), _clips(run), session or NwbSession()
    recording = _recording(run, tasks)
    series = list(_series(tasks, clips))
    file = new_nwb(
        given,
        name=recording["name"],
        identifier=f"{_plain(run.resolve().name)}-{digest([task.folder.name for task in tasks])}",
        about=f"Movies reconstructed from the activity of recording {recording['name']} ({recording['activity']}) by "
        f"{_version()}. Clips follow each other; times are those of this file, not of the session.",
        activity=recording["activity"],
    )
    _add_clips(file, clips, truth=truth)
    for one in series:
        file.add_analysis(_image_series(one, clips))
    file.add_analysis(_scores(tasks, series))
    file.add_analysis(facts_table(_provenance(run, tasks, recording)))
    write_nwb(path, file)
    lost = len(tasks) - len({folder for one in series for folder in one.places.values()})
    unfinished = RunFolder(run).tasks["unfinished"]
    return [
        f"{len(series)} series of {len(clips.movies)} clips, {sum(len(task.rows) for task in tasks)} scores",
        *[f"{unfinished} tasks are unfinished: finish the run to have them"] * bool(unfinished),
        *[f"{lost} tasks have no movie: their series are left out"] * bool(lost),
        *["the date of the session is unknown: 1970-01-01 stands for it (--start)"] * (given.start is None),
    ]


def _version() -> str:
    return f"recon {installed_version('recon') or 'of unknown version'}"


def _plain(words: str) -> str:
    """Return words as a name that NWB allows.

    >>> _plain("a <b>, c/d")
    'a_b_c_d'
    """
    return re.sub(r"(?:[^\w+-]|_)+", "_", words).strip("_")


def _clips(run: Path) -> ClipsOnClock:
    movies = true_movies(run)
    if not movies:
        raise InputError(f"{run}: expected clips in clips.h5, got none; run it again")
    ends = np.cumsum([0, *(len(clip.movie) for clip in movies.values())]).tolist()
    return ClipsOnClock(movies, dict(zip(movies, ends, strict=False)), next(iter(movies.values())).frame_rate)


def _recording(run: Path, tasks: Sequence[FinishedTask]) -> dict[str, str]:
    """Return name and activity of the recording; runs of earlier versions do not state the activity."""
    file = run / "recording.json"
    found = read_json(file) if file.is_file() else {}
    return {"name": str(found.get("name", tasks[0].key[0])), "activity": str(found.get("activity", "recorded"))}


def _series(tasks: Sequence[FinishedTask], clips: ClipsOnClock) -> Iterator[RunSeries]:
    """Yield the series of every row of the table and seed, in the order of the tasks."""
    groups: dict[tuple[object, ...], list[FinishedTask]] = {}
    for task in tasks:
        groups.setdefault((*task.key, task.seed), []).append(task)
    taken: set[str] = set()
    for own in groups.values():
        words = (*own[0].key[1:], f"seed{own[0].seed}")
        plain = _plain("_".join(word for word in words if word))
        name = plain if plain not in taken else f"{plain}_{own[0].folder.name}"
        taken.add(name)
        for layer in LAYERS:
            places = {trial: file for task in own for trial, file in _stored(task, layer, clips)}
            ordered = {trial: places[trial] for trial in clips.first if trial in places}
            if ordered:
                yield RunSeries(name if layer == "reconstruction" else f"{name}_{layer}", layer, own, ordered)


def _stored(task: FinishedTask, layer: str, clips: ClipsOnClock) -> Iterator[tuple[str, Path]]:
    """Yield the clips that a task reconstructed, with its file."""
    path = task.folder / "movie.h5"
    if not path.is_file():
        return
    with open_hdf5(path) as file:
        for trial in (name for name in clips.movies if file.find(f"{name}/{layer}") is not None):
            shape = file.values(f"{trial}/{layer}", axes=3).shape
            if shape != clips.movies[trial].movie.shape:
                raise InputError(f"{path}:{trial}: expected frames as the clip has, got {shape}; run it again")
            yield trial, path


def _image_series(one: RunSeries, clips: ClipsOnClock) -> Any:
    from pynwb.image import ImageSeries

    _, method, encoder, condition = one.tasks[0].key
    size = next(iter(clips.movies.values())).movie.shape[1:]
    statuses = sorted({str(row.get("status", "")) for task in one.tasks for row in task.rows})
    return ImageSeries(
        name=one.name,
        data=streamed(_frames(one), size),
        unit=UNIT,
        dimension=list(size),
        description=f"{LAYERS[one.layer]}, by frame, row and column; method: {method}; encoder: {encoder or 'none'}; "
        f"condition: {condition}; seed: {one.tasks[0].seed}; status: {', '.join(statuses)}; "
        f"saw: {seen_in(one.tasks[0].folder) or 'not stated'}; {_version()}",
        **timing(clips.times(list(one.places)), clips.rate),
    )


def _frames(one: RunSeries) -> Iterator[Array]:
    for trial, path in one.places.items():
        with open_hdf5(path) as file:
            yield from np.asarray(file.values(f"{trial}/{one.layer}", axes=3)[:], dtype=np.float32)


def _add_clips(file: Any, clips: ClipsOnClock, *, truth: bool) -> None:
    from pynwb.epoch import TimeIntervals
    from pynwb.image import ImageSeries

    shown = TimeIntervals(name="clips", description="Clips of the run, one after the other on the clock of the file.")
    shown.add_column(name="trial", description=MEANINGS["trial"])
    shown.add_column(name="first_scored_frame", description="First frame of the clip that scores count.")
    shown.add_column(name="scored_frames", description="Number of frames of the clip that scores count.")
    shown.add_column(name="caption", description="What the clip shows; empty if unknown.")
    for trial, clip in clips.movies.items():
        start, stop = clips.first[trial] / clips.rate, (clips.first[trial] + len(clip.movie)) / clips.rate
        scored = {"first_scored_frame": clip.scored.start, "scored_frames": len(clip.scored)}
        shown.add_interval(start_time=start, stop_time=stop, trial=trial, caption=clip.caption, **scored)
    file.add_time_intervals(shown)
    if truth:
        movies = [clip.movie for clip in clips.movies.values()]
        file.add_stimulus(
            ImageSeries(
                name="true_movie",
                data=streamed((frame for movie in movies for frame in movie), movies[0].shape[1:]),
                unit=UNIT,
                conversion=1 / 255,
                dimension=list(movies[0].shape[1:]),
                description="The clips as they were shown, by frame, row and column: grey levels 0 to 255.",
                **timing(clips.times(list(clips.movies)), clips.rate),
            )
        )


def _scores(tasks: Sequence[FinishedTask], series: Sequence[RunSeries]) -> Any:
    """Return the table of scores, one row for each task and clip; columns without any value are left out."""
    named = {(str(file), trial): one.name for one in series[::-1] for trial, file in one.places.items()}
    rows: list[dict[str, Any]] = [
        {"task": task.folder.name, "series": named.get((str(task.folder / "movie.h5"), str(row["trial"])), ""), **row}
        for task in tasks
        for row in task.rows
    ]
    known = dict.fromkeys(("task", "series", *columns(), *(name for row in rows for name in row)))
    values = {name: [row.get(name) for row in rows] for name in known}
    filled = {name: own for name, own in values.items() if any(value not in (None, "") for value in own)}
    stored = {name: (_meaning(name), _typed(own)) for name, own in filled.items()}
    return table("scores", "Scores of the reconstructions, one row for each task and clip.", stored)


def _meaning(name: str) -> str:
    whole = name.removesuffix("_true")
    found = METRICS.get(name) or METRICS.get(whole) or COSTS.get(name)
    said = MEANINGS.get(name) or (f"{found.meaning}." if found else f"{name.replace('_', ' ').capitalize()} of a clip.")
    return said if name == whole else f"The same of the true movie: {said}"


def _typed(values: Sequence[Any]) -> list[Any]:
    """Return values of one type: truth values, whole numbers, numbers with NaN for none, or texts.

    >>> _typed([1, 2]), _typed([0.5, None]), _typed([True]), _typed(["a", None])
    ([1, 2], [0.5, nan], [True], ['a', ''])
    """
    kinds = {type(value) for value in values}
    if kinds in ({bool}, {int}):
        return list(values)
    if kinds <= {int, float, type(None)}:
        return [float("nan") if value is None else float(value) for value in values]
    return ["" if value is None else str(value) for value in values]


def _provenance(run: Path, tasks: Sequence[FinishedTask], recording: Mapping[str, str]) -> dict[str, object]:
    return {
        "run": run.resolve().name,
        "recording": recording["name"],
        "activity": recording["activity"],
        "tasks": ", ".join(task.folder.name for task in tasks),
        **flat({"environment": read_json(run / "environment.json")}),
        "settings": (run / "config.yaml").read_text(encoding="utf-8"),
    }
