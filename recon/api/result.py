"""`Result`: the movies that a method reconstructed, beside the true ones, with their scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recon.api.engine import Part
from recon.api.player import Panel, Player, as_hdf5, as_mp4, as_npy, as_npz
from recon.api.recording import ClipSet
from recon.encoders.summary import as_html, as_text
from recon.errors import InputError
from recon.files import write_bytes
from recon.files.paths import user_path
from recon.metrics import ranked
from recon.metrics.intervals.bounds import Bounds
from recon.metrics.intervals.calibration import Calibration
from recon.metrics.intervals.settings import LEVEL
from recon.metrics.metric import heading
from recon.study.settings import Frames

if TYPE_CHECKING:
    from pandas import DataFrame

NOTES = "notes"
"""Column of the table of scores that says why scores are undefined, and what the judge compared with."""


@dataclass(frozen=True, repr=False, eq=False)
class ReconstructedClip:
    """One clip: its trial, its caption, the true movie and its reconstruction, both `[C,T,H,W]` in [0,1].

    `deviation` `[C,T,H,W]` is the standard deviation over a sampler's draws, as it made them. `row` holds scores, costs
    and status. `calibration` makes intervals of the reconstruction, where `reconstruct` was given one.
    """

    trial: int
    caption: str
    truth: Tensor
    movie: Tensor
    row: Mapping[str, Any]
    deviation: Tensor | None = None
    calibration: Calibration | None = None

    def interval(self, level: float = LEVEL) -> Bounds:
        """Return the calibrated bounds `[C,T,H,W]` at a level; raises InputError without a calibration."""
        return self._calibrated.bounds(self.movie, self.deviation, level=level)

    @property
    def sd(self) -> Tensor:
        """The calibrated standard deviation `[C,T,H,W]`: half the width of the 68.3 % interval."""
        return self._calibrated.deviation(self.movie, self.deviation)

    @property
    def _calibrated(self) -> Calibration:
        if self.calibration is None:
            raise InputError(
                "interval: expected a calibrated result, got one without; call recon.calibrate and reconstruct with "
                "its calibration"
            )
        return self.calibration


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """What a method made of some clips. `method` is its label, `settings` its settings, `frames` are not scored."""

    method: str
    settings: str
    recording: str
    frame_rate: float
    frames: Frames
    shown: tuple[ReconstructedClip, ...]

    @classmethod
    def of(cls, method: str, settings: str, clips: ClipSet, frames: Frames, solved: Sequence[Part]) -> Result:
        """Return the result of some solved batches, in the order of the clips."""
        found = {shown.trial: shown for part in solved for shown in _shown(part)}
        reader = clips.recording.reader
        return cls(method, settings, reader.name, reader.frame_rate, frames, tuple(found[i] for i in clips.trials))

    @property
    def trials(self) -> tuple[int, ...]:
        """Numbers of the trials."""
        return tuple(shown.trial for shown in self.shown)

    @property
    def movie(self) -> Tensor:
        """The reconstructions `[B,C,T,H,W]` in [0,1]; raises InputError for clips of several lengths."""
        lengths = sorted({shown.movie.shape[1] for shown in self.shown})
        if len(lengths) > 1:
            raise InputError(
                f"movie: expected clips of one length, got {lengths} frames; take each clip's own from result.shown"
            )
        return torch.stack([shown.movie for shown in self.shown])

    def interval(self, level: float = LEVEL) -> Bounds:
        """Return the calibrated bounds, both `[B,C,T,H,W]` in [0,1], at a level; clips are of one length.

        They cover the true pixel with that probability on average over clips exchangeable with the calibration clips,
        in every group of `calibration.names`, not in every clip by itself. Frames and pixels that are not scored have
        the whole range. Raises InputError without a calibration.
        """
        lower, upper = zip(*(shown.interval(level) for shown in self.shown), strict=True)
        return Bounds(torch.stack(lower), torch.stack(upper))

    @property
    def lower(self) -> Tensor:
        """Lower bounds `[B,C,T,H,W]` of the 90 % intervals."""
        return self.interval().lower

    @property
    def upper(self) -> Tensor:
        """Upper bounds `[B,C,T,H,W]` of the 90 % intervals."""
        return self.interval().upper

    @property
    def sd(self) -> Tensor:
        """The calibrated standard deviation `[B,C,T,H,W]`: half the width of the 68.3 % intervals."""
        return torch.stack([shown.sd for shown in self.shown])

    @property
    def status(self) -> str:
        """ "finished", "budget" or "diverged"; where clips differ, how many of each."""
        counts = Counter(str(shown.row["status"]) for shown in self.shown)
        return ", ".join(f"{count} {name}" for name, count in counts.items()) if len(counts) > 1 else next(iter(counts))

    def scores(self) -> DataFrame:
        """Return a table of scores: a row per clip, a column per metric, and the notes.

        An undefined score is NaN and its reason is in the column `notes`; `scores().mean(numeric_only=True)` averages.
        """
        from pandas import DataFrame, Index

        names = [metric.name for metric in ranked() if any(metric.name in shown.row for shown in self.shown)]
        rows = [{**{name: shown.row[name] for name in names}, NOTES: shown.row["message"]} for shown in self.shown]
        return DataFrame(rows, index=Index(self.trials, name="trial"), columns=Index([*names, NOTES], name="metric"))

    def show(self, *, beside: Result | Sequence[Result] = (), width: int = 256) -> Player:
        """Return the true movies and the reconstructions side by side; a notebook plays them, without a network.

        `beside` are further results on the same clips, `width` is that of a movie in pixels of the screen.
        """
        others = (beside,) if isinstance(beside, Result) else tuple(beside)
        return Player(self._panels(*others), self.frame_rate, width)

    def save(self, path: Path | str, *, beside: Result | Sequence[Result] = ()) -> Path:
        """Write the reconstructions: .npy `[B,C,T,H,W]`, .npz, .h5 with true movies and scores, or .mp4 to look at.

        A calibrated result has also `lower`, `upper` (90 %) and `sd` in .npz and .h5.
        """
        others = (beside,) if isinstance(beside, Result) else tuple(beside)
        file = user_path(path)
        if file.suffix == ".mp4":
            return as_mp4(file, self._panels(*others), self.frame_rate)
        if others:
            raise InputError(f"beside: expected it for .mp4 only, got {file.name}; save each result to its own file")
        if file.suffix == ".h5":
            write_bytes(file, as_hdf5(self._groups(), self._about()))
        elif file.suffix == ".npy":
            write_bytes(file, as_npy(self.movie))
        elif file.suffix == ".npz":
            write_bytes(file, as_npz(self.trials, [_layers(shown) for shown in self.shown]))
        else:
            raise InputError(
                f"{file}: expected a name that ends in .mp4, .npy, .npz or .h5, got {file.suffix or 'none'}"
            )
        return file

    def _panels(self, *others: Result) -> list[Panel]:
        for other in others:
            if other.trials != self.trials:
                raise InputError(
                    f"beside: expected a result on trials {self.trials}, got {other.method} on {other.trials}; "
                    "reconstruct the same clips"
                )
        every = (self, *others)
        return [
            Panel(
                f"trial {shown.trial}" + (f": {shown.caption}" if shown.caption else ""),
                ["true movie", *_titles(every, i)],
                [shown.truth, *(one.shown[i].movie for one in every)],
            )
            for i, shown in enumerate(self.shown)
        ]

    def _groups(self) -> dict[str, dict[str, Tensor]]:
        return {str(shown.trial): {"truth": shown.truth, **_layers(shown)} for shown in self.shown}

    def _about(self) -> dict[str, dict[str, Any]]:
        common = {"method": self.method, "settings": self.settings, "frame_rate": self.frame_rate}
        return {str(s.trial): {**common, "caption": s.caption, **_attributes(s.row)} for s in self.shown}

    @property
    def _facts(self) -> dict[str, object]:
        first = self.shown[0].row
        cost = f"{first['iterations']} iterations, {first['evaluations']:.0f} encoder passes, {first['seconds']:.1f} s"
        means = {metric: _mean([shown.row.get(metric.name) for shown in self.shown]) for metric in ranked()}
        known = {metric: mean for metric, mean in means.items() if metric.shown == "summary" and not math.isnan(mean)}
        scores = [f"{heading(metric.title)} {mean:.{metric.digits}f}" for metric, mean in known.items()]
        return {
            "clips": f"{len(self.shown)} of {self.recording}: trials {', '.join(map(str, self.trials))}",
            "status": self.status,
            "scores": ", ".join(scores) or "undefined: see scores()",
            "cost": cost,
        }

    def __repr__(self) -> str:
        return as_text(f"Result of {self.method}", self._facts)

    def _repr_html_(self) -> str:
        return as_html(f"Result of {self.method}", self._facts)


def _shown(part: Part) -> list[ReconstructedClip]:
    movies, known = part.reconstruction.movie.cpu(), part.reconstruction.uncertainty
    deviations = [None] * len(movies) if known is None else list(known.deviation.cpu())
    every = zip(part.batch.trials, movies, part.rows, deviations, strict=True)
    return [
        ReconstructedClip(t.index, t.caption, t.movie, movie.clone(), row, spread, part.calibration)
        for t, movie, row, spread in every
    ]


def _layers(shown: ReconstructedClip) -> dict[str, Tensor]:
    """Return the movies of a clip that are written to files, by name."""
    layers = {"reconstruction": shown.movie, "deviation": shown.deviation}
    if shown.calibration is not None:
        layers |= {**shown.interval()._asdict(), "sd": shown.sd}
    return {name: movie for name, movie in layers.items() if movie is not None}


def _titles(every: Sequence[Result], clip: int) -> list[str]:
    """Return the headings of the results' movies: label and score, numbered where labels repeat."""
    labels = [one.method for one in every]
    numbered = [
        name if labels.count(name) == 1 else f"{name} ({labels[:i].count(name) + 1})" for i, name in enumerate(labels)
    ]
    scores = [one.shown[clip].row.get("video_correlation", math.nan) for one in every]
    return [
        name if math.isnan(score) else f"{name}, video r {score:.2f}"
        for name, score in zip(numbered, scores, strict=True)
    ]


def _mean(values: Sequence[Any]) -> float:
    known = [float(value) for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if isinstance(value, str | int | float)}
