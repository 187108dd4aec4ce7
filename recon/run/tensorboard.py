"""The trace of a run for TensorBoard: what matters in the first two groups, then clip by clip, pictures and costs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from recon.media import to_uint8
from recon.metrics import METRICS
from recon.run.events import EventFile, picture, plain, scalar, text
from recon.run.hparams import Setup, ending
from recon.run.pictures import FramesShown, movie_gif, strip_png
from recon.run.trace import GroundTruth, at_least_one, is_milestone, is_scored
from recon.types import Iterate

SCORES, OBJECTIVE = "scores", "the objective"
"""Groups of means over clips. TensorBoard sorts groups by name and opens the first two: these."""
BY_CLIP, STRIPS, MOVIES, COSTS = "values by clip", "video strips", "videos", "work"
"""Groups of single clips, of pictures, and of what a run spends and how it steps."""
STEPPING = ("gradient_norm", "langevin_step", "accepted")
"""Terms that describe a step and are no part of the objective."""


class TensorBoardTrace:
    """Writes scalars, film strips and movies of a running reconstruction for TensorBoard.

    Scalars are written every `every` steps: `scores/…` and `the objective/…` are means over clips, one card per score
    or term; `values by clip/…` has a card for each clip. Film strips (truth above reconstruction) of the first `clips`
    clips are written at steps 1, 2, 5, 10, 20 …, movies at the end. `setup` fills the tabs HPARAMS and TEXT. Scores,
    and truth in the pictures, need the true movie; no method sees it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int = 1,
        truth: GroundTruth | None = None,
        labels: Sequence[str] = (),
        frame_rate: float = 30.0,
        clips: int = 3,
        setup: Setup | None = None,
    ) -> None:
        self.folder, self.every, self.truth = folder, at_least_one(every), truth
        self.labels, self.frame_rate, self.clips, self.setup = tuple(labels), frame_rate, clips, setup
        self._names = _tag_names(self.labels)
        self._writer: Any = None
        self._last: tuple[int, Iterate, Mapping[str, float]] | None = None
        self._logged = self._scored = self._shown = -1

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        if self._writer is None:
            self._open(step)
        self._last = (step, iterate, rates)
        if step % self.every == 0 or is_milestone(step):
            self._log(step, iterate, rates, scored=is_scored(step, self.every))
        if is_milestone(step):
            self._show(step, iterate)

    def close(self) -> None:
        """Log and show the last iterate and close the event file; a later call opens a new one."""
        if self._writer is None or self._last is None:
            return
        step, iterate, rates = self._last
        if self._logged != step:
            self._log(step, iterate, rates, scored=False)
        if self._scored != step:
            self._score(step, iterate)
        if self._shown != step:
            self._show(step, iterate)
        self._write(step, [self._movie(clip, step, iterate) for clip in self._clips(iterate)])
        if self.setup:
            self._write(step, [ending(finished=True)])
        self._writer.close()
        self._writer = None

    def __enter__(self) -> TensorBoardTrace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, step: int) -> None:
        self._writer = EventFile(self.folder)
        self._writer.begin(step)
        if self.setup:
            metrics = {f"{SCORES}/{name}": METRICS[name].title for name in self.truth.metrics} if self.truth else {}
            self._write(step, [*self.setup.beginning(metrics), text("method", self.setup.description)])
        if self.labels:
            self._write(step, [text("shown", "\n".join(f"1. {line}" for line in self._clip_lines()))])

    def _clip_lines(self) -> list[str]:
        captions = self.setup.captions if self.setup else ()
        told = [*captions, *[""] * len(self.labels)]
        return [plain(f"{label}: {said}" if said else label) for label, said in zip(self.labels, told, strict=False)]

    def _log(self, step: int, iterate: Iterate, rates: Mapping[str, float], *, scored: bool) -> None:
        scalars = {f"{COSTS}/{name}": float(value) for name, value in rates.items()}
        self._write_scalars(step, scalars | self._terms(OBJECTIVE, iterate.terms))
        self._logged = step
        if scored:
            self._score(step, iterate)

    def _score(self, step: int, iterate: Iterate) -> None:
        if self.truth:
            self._write_scalars(step, self._terms(SCORES, self.truth.of(iterate)))
        self._scored = step

    def _write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._write(step, [scalar(tag, value) for tag, value in scalars.items()])

    def _terms(self, group: str, terms: Mapping[str, Tensor]) -> dict[str, float]:
        scalars: dict[str, float] = {}
        for name, tensor in terms.items():
            values = tensor.detach().cpu().double().flatten().tolist()
            known = [value for value in values if not math.isnan(value)]
            scalars[f"{COSTS if name in STEPPING else group}/{name}"] = sum(known) / len(known) if known else math.nan
            if len(values) > 1:
                scalars |= {f"{BY_CLIP}/{name}, {self._name(clip)}": value for clip, value in enumerate(values)}
        return scalars

    def _name(self, clip: int) -> str:
        return self._names[clip] if clip < len(self._names) else f"clip {clip}"

    def _clips(self, iterate: Iterate) -> range:
        return range(min(self.clips, len(iterate.movie)))

    def _show(self, step: int, iterate: Iterate) -> None:
        self._write(step, [self._strip(clip, step, iterate) for clip in self._clips(iterate)])
        self._shown = step

    def _strip(self, clip: int, step: int, iterate: Iterate) -> Any:
        movies, names, shown = self._shown_of(clip, iterate)
        encoded = strip_png(movies, names, shown, title=self._title(clip, step))
        return picture(f"{STRIPS}/{self._name(clip)}", encoded, kind="png")

    def _movie(self, clip: int, step: int, iterate: Iterate) -> Any:
        movies, names, shown = self._shown_of(clip, iterate)
        encoded = movie_gif(movies, names, shown, title=self._title(clip, step))
        return picture(f"{MOVIES}/{self._name(clip)}", encoded, kind="gif")

    def _title(self, clip: int, step: int) -> str:
        """Return the title of a picture: method, clip and step."""
        method = str(self.setup.values.get("row", "")) if self.setup else ""
        return ", ".join(filter(None, [method, self._name(clip), f"step {step}"]))

    def _shown_of(self, clip: int, iterate: Iterate) -> tuple[list[Any], list[str], FramesShown]:
        """Return the grey movies `[T,H,W]` of a clip, their names and the frames to show."""
        known = {"truth": self.truth.movie} if self.truth else {}
        movies = known | {"reconstruction": iterate.movie}
        grey = [to_uint8(movie[clip].mean(0).detach().float().cpu()) for movie in movies.values()]
        first, tail = (self.truth.warmup, self.truth.tail) if self.truth else (0, 0)
        return grey, list(movies), FramesShown(first, len(grey[0]) - tail, self.frame_rate)

    def _write(self, step: int, values: Sequence[Any]) -> None:
        self._writer.add(step, values)


def _tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return names as tags: no separators, limited length, all different.

    >>> _tag_names(["a/b", "cats", "cats"])
    ('a_b', '1 cats', '2 cats')
    """
    names = [re.sub(r"[^\w .-]+", "_", label)[:60] for label in labels]
    return tuple(name if names.count(name) == 1 else f"{index} {name}" for index, name in enumerate(names))
