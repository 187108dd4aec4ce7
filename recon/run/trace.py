"""Watching a run while it goes on: TensorBoard event files and a plain JSON-lines log."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.media import Pixels, encode_gif, encode_png, film_strip, side_by_side, spread_frames, to_uint8, upscale
from recon.run.summaries import picture, plain, scalar, text
from recon.run.tensorboard import EventFile
from recon.run.trace_file import drop_lines
from recon.types import Iterate


@dataclass(frozen=True)
class GroundTruth:
    """The movies that were shown `[B,C,T,H,W]` and how they are scored; only traces and scores hold it, never a method.

    The first `warmup` and last `tail` frames are not scored; `pixels` `[H,W]` are those that count.
    """

    movie: Tensor
    warmup: int = 0
    tail: int = 0
    pixels: Tensor | None = None
    metrics: tuple[str, ...] = ("video_correlation", "ssim")
    _last: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, iterate: Iterate) -> dict[str, Tensor]:
        """Return the scores of an iterate; several traces that ask for the same one share the work."""
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
        pixels = None if self.pixels is None else self.pixels.to(movie.device)
        return {name: METRICS[name](seen, shown, pixels) for name in self.metrics}


@dataclass(frozen=True)
class Traces:
    """Several traces as one."""

    members: tuple[JsonlTrace | TensorBoardTrace, ...]

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        for member in self.members:
            member(step, iterate, rates)

    def close(self) -> None:
        """Let every member log its last step."""
        for member in self.members:
            member.close()


class JsonlTrace:
    """Appends one line per logged step to a file: step, seconds, evaluations, terms and oracle metrics per clip.

    Metrics cost more than terms, so their steps become sparser: ten between a step and its double.
    A run that goes on at step k first drops the lines from k onwards, and a last line that a kill cut in two.
    """

    def __init__(self, path: Path, *, every: int = 1, truth: GroundTruth | None = None) -> None:
        self.path, self.every, self.truth = path, _at_least_one(every), truth
        self._started = False
        self._unfinished: tuple[int, Iterate, Mapping[str, float]] | None = None

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        if not self._started:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            drop_lines(self.path, step)
            self._started = True
        self._unfinished = (step, iterate, rates)
        if step % self.every == 0 or _is_milestone(step):
            self._log(step, iterate, rates, scored=_is_scored(step, self.every))

    def close(self) -> None:
        """Log the last step with its scores, if that is not yet in the file."""
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


class TensorBoardTrace:
    """Writes what TensorBoard shows of a run that is still going: scalars, film strips and movies.

    Scalars are written every `every` steps, film strips (truth above reconstruction) at steps 0, 1, 2, 5, 10, 20 …,
    movies at 0, 10, 100 … and at the end. Everything that needs the true movie has a tag below "oracle/".
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int = 1,
        truth: GroundTruth | None = None,
        labels: Sequence[str] = (),
        frame_rate: float = 30.0,
        clips: int = 4,
    ) -> None:
        self.folder, self.every, self.truth = folder, _at_least_one(every), truth
        self.labels, self.frame_rate, self.clips = tuple(labels), frame_rate, clips
        self._names = _tag_names(self.labels)
        self._writer: Any = None
        self._last: tuple[int, Iterate, Mapping[str, float]] | None = None
        self._logged = self._scored = self._shown = -1

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        if self._writer is None:
            self._open(step)
        self._last = (step, iterate, rates)
        if step % self.every == 0 or _is_milestone(step):
            self._log(step, iterate, rates, scored=_is_scored(step, self.every))
        if _is_milestone(step):
            self._show(step, iterate, with_movie=_is_power_of_ten(step))

    def close(self) -> None:
        """Log and show the last iterate and end the event file; a later call goes on in a new one."""
        if self._writer is None or self._last is None:
            return
        step, iterate, rates = self._last
        if self._logged != step:
            self._log(step, iterate, rates, scored=False)
        if self._scored != step:
            self._score(step, iterate)
        if self._shown != step or not _is_power_of_ten(step):
            self._show(step, iterate, with_movie=True)
        self._writer.close()
        self._writer = None

    def __enter__(self) -> TensorBoardTrace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, step: int) -> None:
        self._writer = EventFile(self.folder)
        self._writer.begin(step)
        if self.labels:
            self._write(step, [text("clips", "\n".join(f"1. {plain(label)}" for label in self.labels))])

    def _log(self, step: int, iterate: Iterate, rates: Mapping[str, float], *, scored: bool) -> None:
        scalars = {f"run/{name}": float(value) for name, value in rates.items()}
        self._write_terms(step, scalars | self._terms("energy", iterate.terms))
        self._logged = step
        if scored:
            self._score(step, iterate)

    def _score(self, step: int, iterate: Iterate) -> None:
        if self.truth:
            self._write_terms(step, self._terms("oracle", self.truth.of(iterate)))
        self._scored = step

    def _write_terms(self, step: int, scalars: Mapping[str, float]) -> None:
        self._write(step, [scalar(tag, value) for tag, value in scalars.items()])

    def _terms(self, group: str, terms: Mapping[str, Tensor]) -> dict[str, float]:
        scalars: dict[str, float] = {}
        for name, tensor in terms.items():
            values = tensor.detach().double().cpu().flatten().tolist()
            scalars[f"{group}/{name}"] = sum(values) / len(values)
            if len(values) > 1:
                clips = enumerate(values)
                scalars |= {f"{group}/{name} per clip/{self._name(clip)}": value for clip, value in clips}
        return scalars

    def _name(self, clip: int) -> str:
        return self._names[clip] if clip < len(self._names) else f"clip {clip}"

    def _show(self, step: int, iterate: Iterate, *, with_movie: bool) -> None:
        values = []
        for clip in range(min(self.clips, len(iterate.movie))):
            movies = [to_uint8(movie[clip].mean(0).detach().float().cpu()) for movie in self._movies(iterate)]
            values.append(picture(self._tag("film strip", clip), encode_png(self._strip(movies)), kind="png"))
            if with_movie:
                gif = encode_gif(upscale(side_by_side(movies), 2), frame_rate=self.frame_rate)
                values.append(picture(self._tag("movie", clip), gif, kind="gif"))
        self._write(step, values)
        self._shown = step

    def _movies(self, iterate: Iterate) -> list[Tensor]:
        return [self.truth.movie, iterate.movie] if self.truth else [iterate.movie]

    def _strip(self, movies: Sequence[Pixels]) -> Pixels:
        frames = len(movies[0])
        first, tail = (self.truth.warmup, self.truth.tail) if self.truth else (0, 0)
        labels = ("truth", "reconstruction") if self.truth else ()
        return film_strip(movies, frames=spread_frames(frames, first=first, end=frames - tail), labels=labels)

    def _tag(self, kind: str, clip: int) -> str:
        return f"{'oracle/' if self.truth else ''}{kind}/{self._name(clip)}"

    def _write(self, step: int, values: Sequence[Any]) -> None:
        self._writer.add(step, values)


def _at_least_one(every: int) -> int:
    if every < 1:
        raise ValueError(f"every (steps between two log entries): expected at least 1, got {every}")
    return every


def _is_power_of_ten(step: int) -> bool:
    return step == 0 or step == 10 ** round(math.log10(step))


def _is_milestone(step: int) -> bool:
    """Hold at 0, 1, 2, 5, 10, 20, 50 …: pictures cost too much for every step.

    >>> [step for step in range(60) if _is_milestone(step)]
    [0, 1, 2, 5, 10, 20, 50]
    """
    return step == 0 or step / 10 ** math.floor(math.log10(step)) in (1, 2, 5)


def _tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return names that fit into a tag: no separators, not too long, all different.

    >>> _tag_names(["a/b", "cats", "cats"])
    ('a_b', '1 cats', '2 cats')
    """
    names = [re.sub(r"[^\w .-]+", "_", label)[:60] for label in labels]
    return tuple(name if names.count(name) == 1 else f"{index} {name}" for index, name in enumerate(names))


def _is_scored(step: int, every: int) -> bool:
    """Hold for log-spaced steps and for multiples of `every` that become sparser.

    >>> [step for step in range(30, 100) if _is_scored(step, 2)]
    [30, 32, 34, 36, 38, 40, 44, 48, 50, 52, 56, 60, 64, 68, 72, 76, 80, 88, 96]
    """
    octaves = max(0, int(math.log2(max(step, 1) / (10 * every))))
    return _is_milestone(step) or step % (every * 2**octaves) == 0


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no NaN


def _numbers(values: Tensor) -> list[float | None]:
    return [_number(value) for value in values.detach().double().cpu().flatten().tolist()]
