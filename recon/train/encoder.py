"""`recon train encoder`: train an encoder on a recording and save its weights with a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from recon.correlation import pearson
from recon.data.open import open_recording
from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec
from recon.encoders.checkpoints import architectures, from_mapping, save_encoder
from recon.encoders.glm.fit import GlmFit, fit_glm
from recon.encoders.glm.model import Glm
from recon.encoders.training.clips import TrainingClip, evaluate
from recon.encoders.training.fit import TrainingSettings, train
from recon.encoders.training.loop import TrainingOutcome
from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Part
from recon.train.card import PYTHON, Command, identified, origin
from recon.train.identity import identity
from recon.train.trial_cache import GIB, KeptClips, Room, clip_of, watching
from recon.types import Recording, Trial


@dataclass(frozen=True)
class EncoderTraining:
    """Configuration of `recon train encoder`: recording, architecture, learning and output.

    `architecture` holds the settings of the architecture `encoder`; the movies' mean and standard deviation are
    estimated from the training trials. `behavior` names the channels that modulate rates, ignored if the recording has
    no behavior. A `glm` uses `fit`, all others use `training`. `validations` trials control early stopping; the card's
    scores use all validation trials. Training uses the first fraction `data` of the training trials. Trials are read on
    demand and cached up to `memory` GiB.
    """

    recording: Path
    output: Path
    encoder: str = "core_readout"
    behavior: tuple[str, ...] = ("pupil_dilation", "running_speed")
    architecture: dict[str, Any] = field(default_factory=dict)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    fit: GlmFit | None = None
    validations: Count = 24
    data: Part = 1.0
    memory: NonNegative = 4.0


def train_encoder(config: Mapping[str, Any], *, log: Path | None = None, command: Command = PYTHON) -> Path:
    """Train an encoder from a configuration and return the path of the weights; the card is saved next to them.

    Gradients come from trials of the tier `train` only; early stopping uses the tier `oracle`. Calling again resumes
    an interrupted training.
    """
    chosen: EncoderTraining = from_mapping_with_paths(config)
    recording = open_recording(chosen.recording)
    training, validation = _trials(recording, "train"), _trials(recording, "oracle")
    room = Room(chosen.memory * GIB)
    clips = KeptClips(recording, training[: max(round(len(training) * chosen.data), 1)], room)
    encoder = build_encoder(chosen, recording, clips)
    watched = KeptClips(recording, watching(recording, chosen.validations), room)
    outcome = learn(encoder, clips, watched, chosen, log=log, about=identity(chosen, recording.learning_fingerprint()))
    card = origin(chosen.output, identified(recording), command) | _card(chosen, outcome)
    card |= scores_of(encoder, recording, validation, chosen.training.warmup_frames)
    save_encoder(encoder, chosen.output, card=card, dtype=torch.float16)
    chosen.output.with_suffix(".training").unlink(missing_ok=True)
    return chosen.output


def learn(
    encoder: Encoder,
    training: Sequence[TrainingClip],
    validation: Sequence[TrainingClip],
    chosen: EncoderTraining,
    *,
    log: Path | None,
    about: str = "",
) -> TrainingOutcome:
    """Train an encoder in place: a GLM with `fit`, any other architecture with `training`."""
    if isinstance(encoder, Glm) != (chosen.fit is not None):
        raise InputError(
            f"fit: expected it for the encoder glm only, got {chosen.fit} for {chosen.encoder}; "
            "write `fit: {}` for a glm, `training: {…}` for the others"
        )
    if isinstance(encoder, Glm) and chosen.fit is not None:
        return fit_glm(encoder, training, validation, chosen.fit)
    checkpoint = chosen.output.with_suffix(".training")
    return train(encoder, training, validation, chosen.training, checkpoint=checkpoint, log=log, about=about)


def from_mapping_with_paths(config: Mapping[str, Any]) -> EncoderTraining:
    """Build the record of a configuration; names and types are checked strictly."""
    from recon.config import record

    return record(EncoderTraining, config, where="train")


def build_encoder(chosen: EncoderTraining, recording: Recording, training: Sequence[TrainingClip]) -> Encoder:
    """Return the untrained encoder of a configuration for a recording."""
    known = architectures()
    if chosen.encoder not in known:
        names = ", ".join((*known, "dwiseneuro"))
        raise InputError(f"encoder: expected one of {names}, got {chosen.encoder!r}; choose one of them")
    settings = from_mapping(known[chosen.encoder].settings, chosen.architecture, where="train.architecture")
    seen = [(clip.movie.flatten()[::7].clone(), clip.behavior is not None) for clip in training]
    pixels, with_behavior = torch.cat([some for some, _ in seen]), all(known for _, known in seen)
    spec = Spec(
        frame_size=recording.frame_size,
        neuron_ids=recording.unit_ids,
        frame_rate=recording.frame_rate,
        degrees_per_pixel=recording.degrees_per_pixel,
        behavior=tuple(name for name in BEHAVIOR_CHANNELS if name in chosen.behavior) if with_behavior else (),
    )
    settings = replace(settings, mean=round(float(pixels.mean()), 4), std=round(float(pixels.std()), 4))
    return known[chosen.encoder].build(spec, settings)


def _trials(recording: Recording, tier: str) -> tuple[int, ...]:
    trials = recording.trials(tier)
    if not trials:
        raise InputError(f"{recording.path}: expected trials of tier {tier!r}, got none; import them with this tier")
    return trials


def _card(chosen: EncoderTraining, outcome: TrainingOutcome) -> dict[str, Any]:
    return {
        "training": asdict(chosen.fit or chosen.training),
        **({"share_of_training_trials": chosen.data} if chosen.data < 1 else {}),
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "seconds": round(outcome.seconds, 1),
        "device": f"CPU, {torch.get_num_threads()} threads",
    }


def scores_of(encoder: Encoder, recording: Recording, indices: Sequence[int], warmup: int) -> dict[str, Any]:
    """Return mean correlations over neurons on the trials `indices`.

    The correlation with noise-free rates and the oracle ceiling are included if the recording has noise-free rates.
    """
    single = evaluate(encoder, (clip_of(recording.trial(index)) for index in indices), warmup=warmup)
    scores: dict[str, Any] = {"validation_correlation": _mean(single)}
    if recording.trial(indices[0]).rates is not None:
        known = [trial for trial in map(recording.trial, indices) if trial.rates is not None]
        rates = [TrainingClip(t.movie, t.rates, t.behavior) for t in known if t.rates is not None]
        scores["validation_correlation_with_noise_free_rates"] = _mean(evaluate(encoder, rates, warmup=warmup))
        scores["oracle_ceiling"] = _mean(oracle_correlation(known, warmup=warmup))
    return scores


def oracle_correlation(trials: Sequence[Trial], *, warmup: int) -> torch.Tensor:
    """Return the correlation `[N]` of noise-free rates with single trials, the ceiling for any encoder."""
    rates = torch.cat([t.rates[:, warmup:] for t in trials if t.rates is not None], 1)
    responses = torch.cat([t.responses[:, warmup:] for t in trials if t.rates is not None], 1)
    return pearson(rates, responses)


def _mean(values: torch.Tensor) -> float:
    return round(float(values.nanmean()), 4)
