"""Fidelities fitted to training trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from recon.data.measurement import Bins, binning
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder
from recon.encoders.behavior import lacking_channels
from recon.errors import InputError
from recon.files import digest
from recon.files.code_version import code_version, modules_of
from recon.files.sealed import whole
from recon.problem.conditions import clip_rates, response_scale
from recon.problem.fidelities import FIDELITIES, load, save
from recon.problem.fidelities.base import Likelihood
from recon.types import Trial, stack

TRIALS = 40
"""Training trials, evenly spaced over the recording, from which a fidelity's noise is estimated."""


def needs_fit(fidelity: Likelihood) -> bool:
    """True where a fidelity has parameters to be fitted."""
    return any(getattr(fidelity, field.name) is None for field in fields(fidelity))


def fit_fidelity(
    fidelity: Likelihood,
    recording: SensoriumRecording,
    encoders: Mapping[str, Encoder],
    *,
    sets: Mapping[str, Tensor],
    frames: int,
    bins: Bins,
    artefacts: Path,
    hashes: Mapping[str, str],
    window: int = 0,
) -> Likelihood:
    """Return the fidelity fitted to the encoders' rates of training trials; cached in `artefacts`.

    The cache is named by data, settings and code, as are all artefacts. A user's own fidelity is fitted each time.
    """
    if not needs_fit(fidelity):
        return fidelity
    neurons = {name: mask.nonzero().flatten().tolist() for name, mask in sets.items()}
    code = code_version(__name__, type(recording).__module__, *modules_of(fidelity, *encoders.values()))
    key = digest([repr(fidelity), recording.fingerprint(), hashes, neurons, frames, bins, TRIALS, code])
    path = artefacts / f"fidelity-{key}.safetensors"
    if not whole(path):
        trials = training_trials(recording, frames, tuple(encoders.values()))
        pairs = [_pair(recording, trials, encoder, bins, window) for encoder in encoders.values()]
        rates, responses, counted = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        mask = counted & ~sets["report"][:, None]
        fitted = fidelity.fit(rates, responses, mask)
        if type(fidelity) not in FIDELITIES.values():
            return fitted
        artefacts.mkdir(parents=True, exist_ok=True)
        save(fitted, path)
    return load(path)


def training_trials(recording: SensoriumRecording, frames: int, encoders: Sequence[Encoder] = ()) -> list[Trial]:
    """Return training trials cut to `frames` frames, or to the shortest trial; those with what the encoders need."""
    indices = recording.trials("train")
    if not indices:
        raise InputError("training: expected trials of tier 'train', got none; import or simulate some")
    chosen = [recording.trial(i) for i in indices[:: max(len(indices) // TRIALS, 1)][:TRIALS]]
    lost = {name for trial in chosen for encoder in encoders for name in lacking_in(trial, encoder)}
    chosen = [trial for trial in chosen if not any(lacking_in(trial, encoder) for encoder in encoders)]
    if not chosen:
        raise InputError(
            f"fidelity: expected training trials with {', '.join(sorted(lost))} as the encoders use, got gaps in all; "
            "train encoders with training.behavior_dropout or behavior=[]"
        )
    return cut(chosen, min(frames, *(trial.movie.shape[1] for trial in chosen)))


def lacking_in(trial: Trial, encoder: Encoder) -> tuple[str, ...]:
    """Return the behavior channels that an encoder needs and that a trial lacks in any frame."""
    return lacking_channels(encoder.spec, None if trial.behavior is None else trial.behavior[None])


def cut(trials: Sequence[Trial], frames: int) -> list[Trial]:
    """Return the first `frames` frames of trials."""
    return [
        Trial(
            trial.index,
            trial.tier,
            trial.movie[:, :frames],
            trial.responses[:, :frames],
            None if trial.behavior is None else trial.behavior[:, :frames],
            trial.video_id,
        )
        for trial in trials
    ]


def _pair(
    recording: SensoriumRecording, trials: Sequence[Trial], encoder: Encoder, bins: Bins, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rates, responses and their mask, all `[B,N,K]`; frames that need context before the trial are masked."""
    movie, responses, behavior = stack(trials)
    rates, known = clip_rates(encoder, movie, behavior, window=window), responses / response_scale(recording, encoder)
    frames = torch.ones(len(movie), movie.shape[2], dtype=torch.bool)
    frames[:, : min(encoder.spec.context[0], movie.shape[2] // 2)] = False
    operator = binning(recording, frames=movie.shape[2], bins=bins)
    if operator is None:
        return rates, known, frames[:, None].expand_as(rates)
    return operator.bin_rates(rates), operator.bin_responses(known), operator.bin_mask(frames)
