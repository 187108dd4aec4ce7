"""Conditions: from a batch of clips to the problem given to a method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder, device_of
from recon.encoders.behavior import known_mean
from recon.errors import InputError
from recon.problem.clips import Batch, Presentation
from recon.problem.problem import Observation, Problem
from recon.problem.windows import windowed_rates
from recon.types import Acquisition, Caption, Fidelity, Measurement, stack

Condition = Literal["recorded", "wrong_clip", "predicted", "noise_free", "repeat_average", "repeats_joint"]


Words = Literal["none", "true", "shuffled"]


def presentations(batch: Batch, condition: Condition, encoder: Encoder, *, window: int = 0) -> list[Presentation]:
    """Return the presentations given to a method under a condition: one, or one per repeat."""
    if condition == "recorded":
        return [batch.recorded]
    if condition == "wrong_clip":
        return [_of_strangers(batch)]
    if condition == "predicted":
        behavior = batch.recorded[1]
        return [(clip_rates(encoder, batch.movie, behavior, window=window), behavior)]
    if condition == "noise_free":
        return [(_noise_free(batch), batch.recorded[1])]
    if not batch.repeated:
        raise InputError(f"condition {condition}: expected clips shown at least twice, got once; use recorded")
    every = [batch.recorded, *batch.repeated]
    return every if condition == "repeats_joint" else [_average(every)]


def pose(
    batch: Batch,
    condition: Condition,
    encoders: Sequence[Encoder],
    *,
    fidelity: Fidelity,
    sets: Mapping[str, Tensor],
    acquisition: Acquisition | None,
    device: torch.device,
    window: int = 0,
    silent: Tensor | None = None,
    update_mask: Tensor | None = None,
    others: Sequence[Observation] = (),
    words: Words = "none",
) -> Problem:
    """Return the problem of a batch under a condition: one observation per presentation and encoder.

    Responses of *report* neurons and of `silent` neurons `[N]` are zero; *report* neurons are not fitted. The movie is
    grey where `update_mask` `[H,W]` is False. `words` selects the captions given to the method. `others` are
    observations of other animals that saw the same clips.
    """
    unseen = sets["report"] if silent is None else sets["report"] | silent
    observations = [
        Observation(encoder, seen.to(device), 1 / len(encoders))
        for encoder in encoders
        for seen in measured(batch, condition, encoder, sets, unseen=unseen, acquisition=acquisition, window=window)
    ]
    shown = None if update_mask is None else update_mask.to(device)
    return Problem(fidelity, (*observations, *others), window, update_mask=shown, captions=spoken(batch, words))


def spoken(batch: Batch, words: Words) -> tuple[tuple[Caption, ...], ...]:
    """Return the captions given to a method: none, the clip's own, or those of its null clip."""
    if words == "none":
        return ()
    if words == "shuffled":
        _check_strangers(batch, "words shuffled")
    trials = batch.trials if words == "true" else batch.strangers
    said = tuple(batch.recording.spoken(trial.index) for trial in trials)
    if not all(said):
        raise InputError(
            f"words {words}: expected captions of every clip in {batch.recording.path}, got none for some; take words "
            "none, or write meta/trials/captions.jsonl"
        )
    return said


def measured(
    batch: Batch,
    condition: Condition,
    encoder: Encoder,
    sets: Mapping[str, Tensor],
    *,
    unseen: Tensor,
    acquisition: Acquisition | None,
    window: int = 0,
) -> Iterator[Measurement]:
    """Yield the measurements of a batch under a condition, in the units of the encoder; `unseen` `[N]` are zero."""
    scale = response_scale(batch.recording, encoder)
    for responses, behavior in presentations(batch, condition, encoder, window=window):
        known = responses if condition == "predicted" else responses / scale
        counted = torch.ones(len(known), known.shape[-1], dtype=torch.bool)
        yield Measurement(known * ~unseen[:, None], behavior, sets["fit"], sets["selection"], counted, acquisition)


def response_scale(recording: SensoriumRecording, encoder: Encoder) -> Tensor:
    """Return the divisor `[N,1]` that brings recorded responses to the units of an encoder's rates."""
    if encoder.spec.response_transform == "raw":
        return torch.ones(len(recording.unit_ids), 1)
    if encoder.spec.response_transform != "divided by std":
        raise InputError(
            f"encoder: expected response_transform raw or divided by std, got {encoder.spec.response_transform!r}; "
            "train it on one of these"
        )
    std = torch.from_numpy(recording.statistic("responses", "std", frames=1).astype(np.float32))
    return std.clamp_min(0.01 * float(std.mean()))


def common_scale(recording: SensoriumRecording, encoders: Sequence[Encoder]) -> Tensor:
    """Return the divisor `[N,1]` shared by all encoders of a row; raises InputError if they differ."""
    scales = [response_scale(recording, encoder) for encoder in encoders]
    if any(not torch.equal(scale, scales[0]) for scale in scales):
        kinds = sorted({encoder.spec.response_transform for encoder in encoders})
        raise InputError(f"encoders: expected one response_transform in a row, got {kinds}; use a row for each")
    return scales[0]


@torch.no_grad()
def clip_rates(encoder: Encoder, movie: Tensor, behavior: Tensor | None, *, window: int = 0) -> Tensor:
    """Return rates `[B,N,T]` on the CPU, computed clip by clip to bound memory."""
    device = device_of(encoder)
    rates = []
    for index in range(len(movie)):
        seen = None if behavior is None else behavior[index : index + 1].to(device)
        rates.append(windowed_rates(encoder, movie[index : index + 1].to(device), seen, window).cpu())
    return torch.cat(rates)


def _noise_free(batch: Batch) -> Tensor:
    rates = [trial.rates for trial in batch.trials if trial.rates is not None]
    if len(rates) < len(batch.trials):
        raise InputError("condition noise_free: expected a simulation with rates, got a recording; use recorded")
    return torch.stack(rates)


def _check_strangers(batch: Batch, what: str) -> None:
    """Refuse a clip that would be its own null."""
    if any(other.index == trial.index for other, trial in zip(batch.strangers, batch.trials, strict=True)):
        raise InputError(f"{what}: expected at least 2 clips of equal length, got 1; raise clips.count")


def _of_strangers(batch: Batch) -> Presentation:
    _check_strangers(batch, "condition wrong_clip")
    return stack(batch.strangers)[1:]


def _average(every: Sequence[Presentation]) -> Presentation:
    responses = torch.stack([responses for responses, _ in every]).mean(0)
    behaviors = [behavior for _, behavior in every if behavior is not None]
    return responses, known_mean(torch.stack(behaviors), 0) if behaviors else None
