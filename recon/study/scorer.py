"""Scores of reconstructions: movie against truth, and predicted against recorded activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from recon.data.mask_files import read_mask
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder
from recon.errors import InputError
from recon.metrics import METRICS, motion_energy_correlation, spatial_frequency_correlation
from recon.metrics import temporal_frequency_correlation as temporal_correlation
from recon.metrics.activity import response_correlation
from recon.metrics.coverage import interval_coverage
from recon.metrics.movie import matched
from recon.metrics.perceptual import lpips_reason
from recon.metrics.pooling import Pooling
from recon.problem.clips import Batch
from recon.problem.conditions import clip_rates, response_scale
from recon.problem.problem import GREY, Problem
from recon.study.settings import MATCHED, Settings, masked_column, oracle_column, pooled_column
from recon.types import Uncertainty

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
    true_scores: dict[str, Scores] = field(default_factory=dict)
    """Scores of the true movies, cached: they are the same for every row of a table."""
    seen: list[Seen] = field(default_factory=list)
    """Cached rates for the true movies and for those being scored."""

    def movie_scores(self, movie: Tensor) -> Scores:
        """Return every metric `[B]` of movies `[B,C,T,H,W]` over the scored frames and pixels."""
        pitch, rate = self.recording.degrees_per_pixel, self.recording.frame_rate
        energy = partial(motion_energy_correlation, degrees_per_pixel=pitch, frame_rate=rate)
        metrics = METRICS | {"motion_energy_correlation": energy}
        metrics |= {pooled_column(name): pooling for name, pooling in self.poolings.items()}
        seen, shown = self._scored(movie), self._scored(self.batch.movie)
        scores = {name: metric(seen, shown, self.pixel_mask) for name, metric in metrics.items()}
        if self.matched:
            alike = matched(seen, shown, self.pixel_mask)
            scores |= {oracle_column(name): METRICS[name](alike, shown, self.pixel_mask) for name in MATCHED}
        return scores

    def coverage(self, movie: Tensor, uncertainty: Uncertainty | None) -> Scores:
        """Return the share `[B]` of scored pixels inside a sampler's nominal 90 % intervals; empty for others."""
        if uncertainty is None:
            return {}
        seen, deviation, shown = map(self._scored, (movie, uncertainty.deviation, self.batch.movie))
        return {
            "coverage_90": interval_coverage(
                seen, deviation, shown, draws=uncertainty.draws, pixel_mask=self.pixel_mask
            )
        }

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
        """Return correlations `[B]` of predicted with fitted responses, for the movie and the truth.

        With a mask, also with grey outside the scored pixels; the difference is the contribution of the pixels outside.
        """
        movies = {"response_correlation": movie, "response_correlation_true": self.batch.movie}
        if self.masked and self.pixel_mask is not None:
            pairs = list(movies.items())
            movies |= {masked_column(name): torch.where(self.pixel_mask, seen, GREY) for name, seen in pairs}
        return {name: self._fitted(seen, problem) for name, seen in movies.items()}

    def heldout_scores(self, movie: Tensor, encoders: Sequence[Encoder], *, key: str) -> Scores:
        """Return correlations `[B]` with the recorded responses of *report* neurons, for the movie and the truth."""
        if key not in self.true_scores:
            self.true_scores[key] = {"heldout": self._heldout(self.batch.movie, encoders)}
        return {
            "heldout_neuron_correlation": self._heldout(movie, encoders),
            "heldout_neuron_correlation_true": self.true_scores[key]["heldout"],
        }

    def judge_scores(self, movie: Tensor, *, repeats: bool) -> tuple[Scores, str]:
        """Return the judge's scores and their reference; `repeats`: the other repeats are unseen by the method.

        Reference: noise-free rates of a simulation, else the mean of the other repeats, else the recorded responses of
        the *report* neurons.
        """
        if self.judge is None:
            nothing = torch.full((len(movie),), torch.nan)
            return {"judge_correlation": nothing, "judge_correlation_true": nothing}, "no judge"
        reference, neurons, about = self._reference(repeats)
        key = f"judge:{about}"
        if key not in self.true_scores:
            self.true_scores[key] = {"judge": self._judged(self.batch.movie, reference, neurons)}
        scores = {
            "judge_correlation": self._judged(movie, reference, neurons),
            "judge_correlation_true": self.true_scores[key]["judge"],
        }
        return scores, f"judged against {about}"

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

    def _fitted(self, movie: Tensor, problem: Problem) -> Tensor:
        scores = []
        for observation in problem.observations:
            known = observation.measurement
            behavior = None if known.behavior is None else known.behavior.cpu()
            rates = self._rates(observation.encoder, movie, behavior)
            scores.append(response_correlation(rates, known.responses.cpu(), known.neurons.cpu(), self._frames()))
        return torch.stack(scores).mean(0)

    def _heldout(self, movie: Tensor, encoders: Sequence[Encoder]) -> Tensor:
        responses, behavior = self.batch.recorded
        scores = []
        for encoder in encoders:
            rates = self._rates(encoder, movie, behavior)
            known = responses / response_scale(self.recording, encoder)
            scores.append(response_correlation(rates, known, self.sets["report"], self._frames()))
        return torch.stack(scores).mean(0)

    def _judged(self, movie: Tensor, reference: Tensor, neurons: Tensor | None) -> Tensor:
        if self.judge is None:
            return torch.full((len(movie),), torch.nan)
        rates = clip_rates(self.judge, movie, self.batch.recorded[1], window=self.window)
        return response_correlation(rates, reference, neurons, self._frames())

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


def _same(first: Tensor | None, second: Tensor | None) -> bool:
    return first is second or (first is not None and second is not None and torch.equal(first, second))


def make_scorer(settings: Settings, batch: Batch, *, sets: Mapping[str, Tensor], judge: Encoder | None) -> Scorer:
    """Return the scorer of a batch, with the frames and pixels of the settings.

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


def undefined(scores: Scores, clip: int) -> list[str]:
    """Return the reasons why scores of a clip are undefined."""
    missing = [name for name, values in scores.items() if not bool(torch.isfinite(values[clip]))]
    absent = [f"{name} not available" for name in missing if name == "lpips" and lpips_reason()]
    constant = [name for name in missing if name != "lpips" and not name.endswith("_true")]
    return absent + ([f"undefined because something is constant: {', '.join(constant)}"] if constant else [])
