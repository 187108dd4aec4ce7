"""Video of a run: the true movie above its reconstructions, each named in the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recon.errors import InputError, did_you_mean
from recon.media import MP4_ENCODERS, Pixels, encoder_among, write_mp4
from recon.metrics import primary
from recon.report.data import FinishedTask, finite_numbers, read_tasks, standings
from recon.report.panels import Panels, filled, lettered, panels_for
from recon.report.strips import TrueMovie, reconstructions, true_movies
from recon.study import manifest
from recon.study.folders import INPUTS

MOST = 9
"""Maximum number of methods, unless they are named."""
ENCODERS = {"libx264": "H.264", "mpeg4": "MPEG-4 Part 2: this PyAV has no H.264 encoder"}

Movies = Mapping[str, Mapping[str, Pixels]]
"""Movies by method and trial."""


@dataclass(frozen=True)
class Excerpt:
    """Frames of a clip that are shown, with the movies of all methods and their scores of the whole clip."""

    title: str
    true: TrueMovie
    movies: Mapping[str, Pixels]
    scores: Mapping[str, float]
    frames: range


Step = tuple[Excerpt, Pixels, int]
"""An excerpt, its lettering `[h,w]` and the number of a frame."""
Progress = Callable[[Sequence[Step]], Iterable[Step]]


def write_video(
    run: Path,
    path: Path,
    *,
    methods: Sequence[str] = (),
    clips: int | None = None,
    seconds: float = 10.0,
    progress: Progress = iter,
) -> str:
    """Write an MP4 with the true movie above the reconstructions; return a description of the file.

    Shows `clips` clips, or as many as fill `seconds`, the median clip first. Each gets an equal part of the time, with
    its scored frames in the middle. Without `methods`, up to nine methods on recorded activity are shown.
    """
    _check(path, seconds, clips)
    manifest.check(run, of=manifest.RUN, needs=INPUTS)
    excerpts = list(_excerpts(run, _chosen(run, methods), clips=clips, seconds=seconds))
    true = excerpts[0].true
    layout = panels_for(len(excerpts[0].movies), *true.movie.shape[1:])
    steps = [
        (excerpt, lettering, frame) for excerpt, lettering in _lettered(excerpts, layout) for frame in excerpt.frames
    ]
    pictures = (_picture(layout, *step) for step in progress(steps))
    write_mp4(path, pictures, frame_rate=true.frame_rate)
    height, width = layout.size
    shown = f"{len(steps) / true.frame_rate:.1f} s, {width}×{height} pixels"
    return f"{path} ({shown}, {ENCODERS[encoder_among(MP4_ENCODERS)]})"


def excerpt_frames(frames: int, scored: range, length: int) -> range:
    """Return `length` frames of a clip, the scored ones in the middle where possible.

    >>> excerpt_frames(180, range(50, 172), 150), excerpt_frames(300, range(50, 292), 100)
    (range(30, 180), range(121, 221))
    """
    length = min(frames, length)
    start = (scored.start + scored.stop - length) // 2
    start = max(0, min(frames - length, start))
    return range(start, start + length)


def _check(path: Path, seconds: float, clips: int | None) -> None:
    if path.suffix.lower() != ".mp4":
        raise InputError(f"video: expected a name that ends in .mp4, got {path.name}; rename it")
    if not 0 < seconds <= 600:
        raise InputError(f"seconds: expected a duration of at most 600, got {seconds:g}; the default is 10")
    if clips is not None and clips < 1:
        raise InputError(f"clips: expected at least 1, got {clips}; without it the clips that fill the time are shown")


def _chosen(run: Path, methods: Sequence[str]) -> Movies:
    shown = reconstructions(run, methods)
    for name in methods:
        if name not in shown:
            known = sorted({task.key[1] for task in read_tasks(run)})
            raise InputError(
                f"methods: expected some of {', '.join(known)}, got {name}{did_you_mean(name, known)}; name those"
            )
    return {name: shown[name] for name in list(methods or shown)[: None if methods else MOST]}


def _excerpts(run: Path, shown: Movies, *, clips: int | None, seconds: float) -> Iterator[Excerpt]:
    tasks, truths = read_tasks(run), true_movies(run)
    common = [trial for trial in _order(tasks, list(truths)) if all(trial in movies for movies in shown.values())]
    if not common or not shown:
        raise InputError(f"{run}: expected a clip that all chosen methods reconstructed, got none; run it first")
    first = truths[common[0]]
    total = round(seconds * first.frame_rate)
    count = min(len(common), clips or -(-total // len(first.movie)))
    scores, names = _scores(tasks), {trial: f"{name} " for trial, name in standings(tasks).items()}
    for trial in common[:count]:
        true = truths[trial]
        yield Excerpt(
            f"{names.get(trial, '')}clip, trial {trial}{': ' * bool(true.caption)}{true.caption}",
            true,
            {name: movies[trial] for name, movies in shown.items()},
            {name: scores[name, trial] for name in shown if (name, trial) in scores},
            excerpt_frames(len(true.movie), true.scored, -(-total // count)),
        )


def _order(tasks: Sequence[FinishedTask], trials: Sequence[str]) -> list[str]:
    """Return trials: the median clip, the best, the worst, then the others."""
    known = {name: trial for trial, name in standings(tasks).items()}
    first = [known[name] for name in ("median", "best", "worst") if known.get(name) in trials]
    return [*first, *(trial for trial in trials if trial not in first)]


def _scores(tasks: Sequence[FinishedTask]) -> dict[tuple[str, str], float]:
    """Return the first primary score by method and trial."""
    rows = [row for task in tasks for row in task.rows]
    found = {(str(row["method"]), str(row["trial"])): finite_numbers([row.get(primary()[0])]) for row in rows}
    return {key: values[0] for key, values in found.items() if values}


def _lettered(excerpts: Sequence[Excerpt], layout: Panels) -> Iterator[tuple[Excerpt, Pixels]]:
    for excerpt in excerpts:
        scores = {name: f"r {score:.2f}" for name, score in excerpt.scores.items()}
        names = [("true movie", ""), *((name, scores.get(name, "")) for name in excerpt.movies)]
        yield excerpt, lettered(layout, excerpt.title, names)


def _picture(layout: Panels, excerpt: Excerpt, lettering: Pixels, frame: int) -> Pixels:
    movies = (excerpt.true.movie, *excerpt.movies.values())
    unscored = "" if frame in excerpt.true.scored else "not scored · "
    clock = f"{unscored}{frame / excerpt.true.frame_rate:.2f} s"
    return filled(layout, lettering, [movie[frame] for movie in movies], clock=clock)
