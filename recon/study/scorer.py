"""Scores of reconstructions: movie against truth, and predicted against recorded activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recon.data.mask_files import read_mask
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder
from recon.errors import InputError
from recon.metrics import METRICS, ranked
from recon.metrics.frequency import spatial_frequency_correlation
from recon.metrics.frequency import temporal_frequency_correlation as temporal_correlation
from recon.metrics.metric import OF_MOVIES, Metric, true_column
from recon.metrics.movie import matched
from recon.metrics.pooling import Pooling
from recon.metrics.two_way import Gallery
from recon.problem.clips import Batch
from recon.problem.conditions import clip_rates, response_scale
from recon.problem.problem import GREY, Problem
from recon.study.settings import Perceptual, Settings, masked_column, oracle_column, pooled_column
from recon.types import Trial, Uncertainty

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Seen:
    """Rates `[B,N,T]` of an encoder for movies with behavior."""

    encoder: Encoder
    movie: Tensor
    behavior: Tensor | None
    rates: Tensor


@dataclass(frozen=True)
class Scorer:
    """Scores the reconstructions of a batch; only the scorer holds the truth, methods never see it.

    Scored are the frames [first, end) and the pixels of `pixel_mask` `[H,W]` (None: all). `judge`: an encoder that no
    method used.
    """

    batch: Batch
    sets: Mapping[str, Tensor]
    first: int
    end: int
    pixel_mask: Tensor | None = None
    judge: Encoder | None = None
    window: int = 0
    poolings: Mapping[str, Pooling] = field(default_factory=dict)
    matched: bool = False
    masked: bool = False
    perceptual: Perceptual = field(default_factory=Perceptual)
    others: tuple[Trial, ...] = ()
    """Clips of the table in its other batches: reconstructions are identified among them too."""
    true_scores: dict[str, Scores] = field(default_factory=dict)
    """Scores of the true movies, cached: they are the same for every row of a table."""
    seen: list[Seen] = field(default_factory=list)
    """Cached rates for the true movies and for those being scored."""

    def movie_scores(self, movie: Tensor) -> Scores:
        """Return every score `[B]` of movies `[B,C,T,H,W]` by the true movies alone, over scored frames and pixels."""
        asked = self.perceptual.scores
        chosen = [metric.name for metric in ranked(*OF_MOVIES) if not metric.asked or metric.name in asked]
        scores = self.named_scores(movie, chosen)
        seen, shown = self._scored(movie), self._scored(self.batch.movie)
        scores |= {pooled_column(name): by(seen, shown, self.pixel_mask) for name, by in self.poolings.items()}
        if self.matched:
            alike, known = matched(seen, shown, self.pixel_mask), [one for one in METRICS.values() if one.matched]
            scores |= {oracle_column(one.name): one.function(alike, shown, self.pixel_mask) for one in known}
        return scores

    def named_scores(self, movie: Tensor, names: Sequence[str]) -> Scores:
        """Return named scores `[B]` of movies `[B,C,T,H,W]`, each of those that compare with the true movies."""
        seen, shown, every = self._scored(movie), self._scored(self.batch.movie), self.perceptual.every
        few = (seen[:, :, ::every], shown[:, :, ::every])
        pairs = {name: few if name in self.perceptual.scores else (seen, shown) for name in names}
        return {name: self._compared(METRICS[name], *pair) for name, pair in pairs.items()}

    def _compared(self, metric: Metric, seen: Tensor, shown: Tensor) -> Tensor:
        if metric.needs == "gallery":
            return metric.function(seen, self.gallery, range(len(seen)), pixel_mask=self.pixel_mask)
        if metric.needs == "scale":
            pitch, rate = self.recording.degrees_per_pixel, self.recording.frame_rate
            return metric.function(seen, shown, self.pixel_mask, degrees_per_pixel=pitch, frame_rate=rate)
        return metric.function(seen, shown, self.pixel_mask)

    @cached_property
    def gallery(self) -> Gallery:
        """The true movies of the table, those of this batch first, at the frames of the perceptual scores."""
        trials, tail = (*self.batch.trials, *self.others), self.batch.frames - self.end
        movies = [trial.movie[:, self.first : trial.movie.shape[1] - tail : self.perceptual.every] for trial in trials]
        return Gallery(movies, [trial.video_id or f"trial {trial.index}" for trial in trials])

    def coverage(self, movie: Tensor, uncertainty: Uncertainty | None) -> Scores:
        """Return the scores `[B]` of a sampler's draws, such as the coverage of their intervals; empty for others."""
        if uncertainty is None:
            return {}
        seen, deviation, shown = map(self._scored, (movie, uncertainty.deviation, self.batch.movie))
        options = {"draws": uncertainty.draws, "pixel_mask": self.pixel_mask}
        return {metric.name: metric.function(seen, deviation, shown, **options) for metric in ranked("draws")}

    def curves(self, movie: Tensor) -> dict[str, Any]:
        """Return correlations resolved by spatial (cycles/degree) and temporal (Hz) frequency, per trial."""
        seen, shown = self._scored(movie), self._scored(self.batch.movie)
        pitch, rate = self.recording.degrees_per_pixel, self.recording.frame_rate
        return {
            "spatial_frequency": self._curve(
                spatial_frequency_correlation(seen, shown, self.pixel_mask, degrees_per_pixel=pitch)
            ),
            "temporal_frequency": self._curve(temporal_correlation(seen, shown, self.pixel_mask, frame_rate=rate)),
        }

    def response_scores(self, movie: Tensor, problem: Problem) -> Scores:
        """Return scores `[B]` of predicted against fitted responses, for the movie and the truth.

        With a mask, also with grey outside the scored pixels; the difference is the contribution of the pixels outside.
        """
        scores = _beside_true(self._fitted(movie, problem), self._fitted(self.batch.movie, problem))
        if self.masked and self.pixel_mask is not None:
            grey = [torch.where(self.pixel_mask, seen, GREY) for seen in (movie, self.batch.movie)]
            masked = _beside_true(*(self._fitted(seen, problem) for seen in grey))
            scores |= {masked_column(name): values for name, values in masked.items()}
        return scores

    def heldout_scores(self, movie: Tensor, encoders: Sequence[Encoder], *, key: str) -> Scores:
        """Return scores `[B]` against the recorded responses of *report* neurons, for the movie and the truth."""
        if key not in self.true_scores:
            self.true_scores[key] = self._heldout(self.batch.movie, encoders)
        return _beside_true(self._heldout(movie, encoders), self.true_scores[key])

    def judge_scores(self, movie: Tensor, *, repeats: bool) -> tuple[Scores, str]:
        """Return the judge's scores and their reference; `repeats`: the other repeats are unseen by the method.

        Reference: noise-free rates of a simulation, else the mean of the other repeats, else the recorded responses of
        the *report* neurons.
        """
        if self.judge is None:
            nothing = {metric.name: torch.full((len(movie),), torch.nan) for metric in ranked("judge")}
            return _beside_true(nothing, nothing), "no judge"
        reference, neurons, about = self._reference(repeats)
        key = f"judge:{about}"
        if key not in self.true_scores:
            self.true_scores[key] = self._judged(self.judge, self.batch.movie, reference, neurons)
        scores = self._judged(self.judge, movie, reference, neurons)
        return _beside_true(scores, self.true_scores[key]), f"judged against {about}"

    def undefined(self, scores: Scores, clip: int) -> list[str]:
        """Return the reasons why scores of a clip are undefined."""
        missing = [name for name, values in scores.items() if not bool(torch.isfinite(values[clip]))]
        known = {name: self._unavailable(METRICS[name], clip) for name in missing if name in METRICS}
        absent = [f"{name} {why}" for name, why in known.items() if why]
        constant = [name for name in missing if not known.get(name) and not name.endswith(true_column(""))]
        return absent + ([f"undefined because something is constant: {', '.join(constant)}"] if constant else [])

    def _unavailable(self, metric: Metric, clip: int) -> str:
        if metric.needs == "gallery" and not self.gallery.rivals(clip, 0):
            return "undefined without a clip of another video"
        if metric.needs in ("heldout", "judge") and not bool(self.sets["report"].any()):
            return "undefined without report neurons"
        return metric.unavailable(self.recording.frame_size)

    @property
    def recording(self) -> SensoriumRecording:
        """The recording of the clips."""
        return self.batch.recording

    def _scored(self, movie: Tensor) -> Tensor:
        return movie[:, :, self.first : self.end].cpu()

    def _curve(self, curve: tuple[Tensor, Tensor]) -> dict[str, Any]:
        axis, values = curve
        rows = {str(trial.index): row.tolist() for trial, row in zip(self.batch.trials, values, strict=True)}
        return {"axis": axis.tolist(), "correlation": rows}

    def _frames(self) -> Tensor:
        counted = torch.zeros(self.batch.frames, dtype=torch.bool)
        counted[self.first : self.end] = True
        return counted

    def _fitted(self, movie: Tensor, problem: Problem) -> Scores:
        found = []
        for observation in problem.observations:
            known = observation.measurement
            behavior = None if known.behavior is None else known.behavior.cpu()
            rates = self._rates(observation.encoder, movie, behavior)
            found.append(self._answered("responses", rates, known.responses.cpu(), known.neurons.cpu()))
        return _mean(found)

    def _heldout(self, movie: Tensor, encoders: Sequence[Encoder]) -> Scores:
        responses, behavior = self.batch.recorded
        found = []
        for encoder in encoders:
            rates = self._rates(encoder, movie, behavior)
            known = responses / response_scale(self.recording, encoder)
            found.append(self._answered("heldout", rates, known, self.sets["report"]))
        return _mean(found)

    def _judged(self, judge: Encoder, movie: Tensor, reference: Tensor, neurons: Tensor | None) -> Scores:
        rates = clip_rates(judge, movie, self.batch.recorded[1], window=self.window)
        return self._answered("judge", rates, reference, neurons)

    def _answered(self, needs: str, rates: Tensor, reference: Tensor, neurons: Tensor | None) -> Scores:
        """Return the scores `[B]` of predicted responses that need such rates and such a reference `[B,N,T]`."""
        frames = self._frames()
        return {metric.name: metric.function(rates, reference, neurons, frames) for metric in ranked(needs)}

    def _rates(self, encoder: Encoder, movie: Tensor, behavior: Tensor | None) -> Tensor:
        """Return the rates for movies `[B,C,T,H,W]`, cached for the several scores that use them."""
        for known in self.seen:
            if known.encoder is encoder and known.movie is movie and _same(known.behavior, behavior):
                return known.rates
        self.seen[:] = [known for known in self.seen if known.movie is movie or known.movie is self.batch.movie]
        rates = clip_rates(encoder, movie, behavior, window=self.window)
        self.seen.append(Seen(encoder, movie, behavior, rates))
        return rates

    def _reference(self, repeats: bool) -> tuple[Tensor, Tensor | None, str]:
        rates = [trial.rates for trial in self.batch.trials if trial.rates is not None]
        if len(rates) == len(self.batch.trials):
            return torch.stack(rates), None, "noise-free rates"
        if repeats and self.batch.repeated:
            others = torch.stack([responses for responses, _ in self.batch.repeated])
            return others.mean(0), None, "other repeats"
        return self.batch.recorded[0], self.sets["report"], "report neurons"


def _beside_true(scores: Scores, true: Scores) -> Scores:
    """Return scores and, in columns of their own, those of the true movies."""
    return scores | {true_column(name): values for name, values in true.items()}


def _mean(found: Sequence[Scores]) -> Scores:
    return {name: torch.stack([scores[name] for scores in found]).mean(0) for name in found[0]}


def _same(first: Tensor | None, second: Tensor | None) -> bool:
    return first is second or (first is not None and second is not None and torch.equal(first, second))


def make_scorer(
    settings: Settings,
    batch: Batch,
    *,
    sets: Mapping[str, Tensor],
    judge: Encoder | None,
    others: tuple[Trial, ...] = (),
) -> Scorer:
    """Return the scorer of a batch, with the frames and pixels of the settings; `others`: trials of other batches.

    Still images (clips of one frame) have no correlation over time: scores that need it are NaN.
    """
    first, end = settings.frames.warmup, batch.frames - settings.frames.tail
    if end - first < min(2, batch.frames):
        raise InputError(
            f"frames: expected clips of more than {settings.frames.warmup + settings.frames.tail + 2} frames, got "
            f"{batch.frames}; lower frames.warmup or frames.tail"
        )
    pixel_mask = scored_pixels(settings, batch.recording.frame_size)
    return Scorer(
        batch,
        sets,
        first,
        end,
        pixel_mask=pixel_mask,
        judge=judge,
        window=settings.window,
        poolings=settings.poolings,
        matched=settings.matched,
        masked=settings.mask is not None,
        perceptual=settings.perceptual,
        others=others,
    )


def scored_pixels(settings: Settings, frame_size: tuple[int, int]) -> Tensor | None:
    """Return the mask `[H,W]` of scored pixels, inside region and transparency mask; None for all."""
    if settings.region is None and settings.mask is None:
        return None
    height, width = frame_size
    top, bottom, left, right = settings.region or (0, height, 0, width)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise InputError(
            f"region: expected rows in 0–{height} and columns in 0–{width}, got {settings.region}; correct them"
        )
    scored = torch.zeros(height, width, dtype=torch.bool)
    scored[top:bottom, left:right] = True
    if settings.mask is not None:
        scored &= read_mask(settings.mask.file, frame_size) >= settings.mask.evaluate
    if not bool(scored.any()):
        raise InputError("mask: expected pixels to score, got none; lower mask.evaluate or widen region")
    return scored
