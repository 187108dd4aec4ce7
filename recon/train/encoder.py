"""`recon train encoder`: train an encoder on a recording and save its weights with a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from recon.correlation import pearson
from recon.data.open import open_recording
from recon.encoders.base import Encoder, Spec
from recon.encoders.checkpoints import architectures, from_mapping, save_encoder
from recon.encoders.core_readout.prepare import BANK
from recon.encoders.glm.fit import GlmFit, fit_glm
from recon.encoders.glm.model import Glm
from recon.encoders.training.clips import TrainingClip, evaluate
from recon.encoders.training.fit import TrainingSettings, train
from recon.encoders.training.loop import TrainingOutcome
from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Part
from recon.train.behavior_gaps import OPTIONAL, check_validation, known_share, used_channels
from recon.train.card import PYTHON, Command, identified, origin
from recon.train.identity import identity
from recon.train.trial_cache import GIB, KeptClips, Room, clip_of, watching
from recon.types import Recording, Trial


@dataclass(frozen=True)
class EncoderTraining:
    """Configuration of `recon train encoder`: recording, architecture, learning and output.

    `architecture` holds the settings of the architecture `encoder`; the movies' mean and standard deviation are
    estimated from the training trials. `history` (seconds) sets its lags and `cell` (degrees) its blocks at the scale
    of the recording, unless `architecture` does; 0 leaves them alone. `behavior` names the channels that modulate
    rates; those that no training trial has are left out. With `training.behavior_dropout` the encoder learns to do
    without, and trials may lack channels. A `glm` uses `fit`, all others use `training`. `validations` trials control
    early stopping; the card's scores use all validation trials. Training uses the first fraction `data` of the training
    trials. Trials are read on demand and cached up to `memory` GiB.
    """

    recording: Path
    output: Path
    encoder: str = "core_readout"
    behavior: tuple[str, ...] = ("pupil_dilation", "running_speed")
    architecture: dict[str, Any] = field(default_factory=dict)
    history: NonNegative = 0.0
    cell: NonNegative = 0.0
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
    watched = KeptClips(recording, watching(recording, chosen.validations), room)
    if chosen.fit is None:
        _check_warmup(recording, watched.indices, chosen.training.warmup_frames)
    clips = KeptClips(recording, training[: max(round(len(training) * chosen.data), 1)], room)
    encoder = build_encoder(chosen, recording, clips)
    clips = _long_enough(clips, encoder)
    if chosen.fit is None and not chosen.training.behavior_dropout:
        check_validation(encoder.spec, recording, validation)
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
    sized = scaled(chosen, recording, known[chosen.encoder].settings)
    settings = from_mapping(known[chosen.encoder].settings, sized, where="train.architecture")
    seen = [(clip.movie.flatten()[::7].clone(), known_share(clip)) for clip in training]
    pixels, shares = torch.cat([some for some, _ in seen]), [share for _, share in seen]
    optional = chosen.fit is not None or chosen.training.behavior_dropout > 0
    trials = training.indices if isinstance(training, KeptClips) else range(len(training))
    spec = Spec(
        frame_size=recording.frame_size,
        neuron_ids=recording.unit_ids,
        frame_rate=recording.frame_rate,
        degrees_per_pixel=recording.degrees_per_pixel,
        behavior=used_channels(chosen.behavior, shares, trials=trials, optional=optional),
    )
    settings = replace(settings, mean=round(float(pixels.mean()), 4), std=round(float(pixels.std()), 4))
    return known[chosen.encoder].build(spec, settings)


def scaled(chosen: EncoderTraining, recording: Recording, settings: type[Any]) -> dict[str, Any]:
    """Return the settings of an architecture, with lags in frames and blocks in pixels of a recording.

    A block is at most an eighth of the shorter side of a frame.
    """
    asked: dict[str, Any] = {}
    if chosen.history:
        asked["lags"] = max(round(chosen.history * recording.frame_rate), 1)
    if chosen.cell:
        pixels = round(chosen.cell / recording.degrees_per_pixel)
        asked["block"] = max(min(pixels, min(recording.frame_size) // 8), 1)
    given = chosen.architecture
    if "core" not in (entry.name for entry in fields(settings)):
        return asked | given
    core = given.get("core", {})
    return {**given, "core": asked | core} if isinstance(core, dict) else given


def _long_enough(clips: KeptClips, encoder: Encoder) -> KeptClips:
    """Return the training trials with a frame whose whole history was shown; raises InputError if there are none."""
    least = encoder.spec.context[0] + 1
    least = least if isinstance(encoder, Glm) else max(least, BANK.lags)
    lengths = [clips.length(place) for place in range(len(clips))]
    if max(lengths) < least:
        raise InputError(
            f"{clips.recording.path}: expected training trials of at least {least} frames, the history that the "
            f"encoder sees, got {min(lengths)}–{max(lengths)}; cut longer trials, or lower `lags` or `history`"
        )
    return clips if min(lengths) >= least else clips.only([length >= least for length in lengths])


def _check_warmup(recording: Recording, indices: Sequence[int], warmup: int) -> None:
    """Refuse a warm-up that leaves nothing of the validation trials: no weights would be the best."""
    longest = max(recording.length(index) for index in indices)
    if longest < warmup + 2:
        raise InputError(
            f"training.warmup_frames: expected at most {max(longest - 2, 0)}, so that validation trials of {longest} "
            f"frames are scored, got {warmup}; lower it"
        )


def _trials(recording: Recording, tier: str) -> tuple[int, ...]:
    trials = recording.trials(tier)
    if not trials:
        raise InputError(f"{recording.path}: expected trials of tier {tier!r}, got none; import them with this tier")
    return trials


def _card(chosen: EncoderTraining, outcome: TrainingOutcome) -> dict[str, Any]:
    return {
        "training": asdict(chosen.fit or chosen.training),
        **({"share_of_training_trials": chosen.data} if chosen.data < 1 else {}),
        **({"behavior": OPTIONAL} if chosen.fit is None and chosen.training.behavior_dropout else {}),
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
