"""`recon train encoder` for DwiseNeuro: train on one or several recordings and save the weights with a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from recon.data.open import open_recording
from recon.encoders.base import BEHAVIOR_CHANNELS, resolve_device
from recon.encoders.behavior import behavior_moments
from recon.encoders.dwiseneuro.argus_files import save_trained
from recon.encoders.dwiseneuro.encoder import FRAME_SIZE, DwiseNeuro
from recon.encoders.dwiseneuro.network import DwiseSettings, Subject, to_params
from recon.encoders.dwiseneuro.sampling import Mouse, epoch_steps, places
from recon.encoders.dwiseneuro.train import DwiseRun, Recipe, train_dwise
from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Whole
from recon.files import digest
from recon.train.behavior_gaps import OPTIONAL
from recon.train.card import PYTHON, Command, identified, origin
from recon.train.encoder import scores_of
from recon.train.trial_cache import GIB, KeptClips, Room, watching
from recon.types import Recording


@dataclass(frozen=True)
class DwiseTraining:
    """Configuration of `recon train encoder` for DwiseNeuro: recordings that share one core, learning and output.

    `architecture` uses the published parameter names; the recordings define the readouts. Up to `validations` oracle
    trials per recording, distinct contents first, monitor the training and give the card's scores, without the first
    `warmup_frames`. Trials are read on demand and cached up to `memory` GiB.
    """

    recording: Path | tuple[Path, ...]
    output: Path
    encoder: str = "dwiseneuro"
    architecture: DwiseSettings = field(default_factory=DwiseSettings)
    training: Recipe = field(default_factory=Recipe)
    validations: Count = 24
    warmup_frames: Whole = 50
    memory: NonNegative = 4.0
    device: str = "auto"


def train_dwiseneuro(config: Mapping[str, Any], *, log: Path | None = None, command: Command = PYTHON) -> Path:
    """Train DwiseNeuro from a configuration and return the path of the weights; the card is saved next to them.

    Gradients come from trials of the tier `train` only; trials of the tier `oracle` monitor the training. Calling
    again resumes an interrupted training.
    """
    chosen = dwise_from_mapping(config)
    device = resolve_device(chosen.device)
    paths = chosen.recording if isinstance(chosen.recording, tuple) else (chosen.recording,)
    recordings = [open_recording(path) for path in paths]
    _check_names([recording.name for recording in recordings])
    room = Room(chosen.memory * GIB)
    mice = [mouse_of(recording, chosen, room) for recording in recordings]
    epoch_steps(chosen.training.sampling, len(mice))
    checkpoint = chosen.output.with_suffix(".training")
    run = train_dwise(
        mice,
        chosen.architecture,
        chosen.training,
        device=device,
        checkpoint=checkpoint,
        log=log,
        about=digest([recording.learning_fingerprint() for recording in recordings]),
    )
    subjects = tuple(mouse.subject for mouse in mice)
    data = [identified(recording) for recording in recordings]
    known = origin(chosen.output, data[0] if isinstance(chosen.recording, Path) else data, command)
    save_trained(run.averaged, chosen.output, subjects=subjects, card=known | _card(chosen, recordings, run))
    checkpoint.unlink(missing_ok=True)
    return chosen.output


def dwise_from_mapping(config: Mapping[str, Any]) -> DwiseTraining:
    """Build the record of a configuration; names and types are checked strictly."""
    from recon.config import record

    if "readout_outputs" in (config.get("architecture") or {}):
        raise InputError(
            "train.architecture.readout_outputs: expected none (recordings define them), got a value; remove the key"
        )
    return record(DwiseTraining, config, where="train")


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"recording: expected different animals, got {twice[0]!r} twice; name each folder once")


def mouse_of(recording: Recording, chosen: DwiseTraining, room: Room) -> Mouse:
    """Return the mouse of a recording; raises InputError if frame size, tiers or behavior do not fit."""
    if recording.frame_size != FRAME_SIZE:
        raise InputError(
            f"{recording.path}: expected frames of {FRAME_SIZE} for DwiseNeuro, got {recording.frame_size}; "
            "import the movies with --frame-size 36 64"
        )
    training, validation = recording.trials("train"), watching(recording, chosen.validations)
    for tier, found in (("train", training), ("oracle", validation)):
        if not found:
            raise InputError(
                f"{recording.path}: expected trials of tier {tier!r}, got none; import them with this tier"
            )
    subject = Subject(recording.name, recording.unit_ids, recording.frame_rate, recording.degrees_per_pixel)
    mouse = Mouse(subject, KeptClips(recording, training, room), KeptClips(recording, validation, room))
    first = mouse.training[0]
    places(first, chosen.architecture)
    if chosen.training.sampling.behavior_dropout:
        means, _ = behavior_moments(BEHAVIOR_CHANNELS, [clip.behavior for clip in mouse.training])
        return replace(mouse, subject=replace(subject, behavior_means=tuple(means.tolist())))
    if first.behavior is None or bool(first.behavior.isnan().any()):
        raise InputError(
            f"{recording.path}: expected pupil and running for DwiseNeuro, got none or gaps; import them with "
            "--behavior and --pupil, set training.sampling.behavior_dropout=0.2, or train a core_readout"
        )
    return mouse


def _card(chosen: DwiseTraining, recordings: Sequence[Recording], run: DwiseRun) -> dict[str, Any]:
    scores = [_scores(chosen, recording, run, place) for place, recording in enumerate(recordings)]
    found = [score["validation_correlation"] for score in scores]
    return {
        "training": asdict(chosen.training),
        **({"behavior": OPTIONAL} if chosen.training.sampling.behavior_dropout else {}),
        "steps": run.step,
        "seconds": round(run.seconds, 1),
        "device": _device(run.device),
        "model_name": "MouseModel",
        "params": to_params(run.averaged.settings),
        "mice": {r.name: score for r, score in zip(recordings, scores, strict=True)},
        "validation_correlation": round(sum(found) / len(found), 4),
    }


def _scores(chosen: DwiseTraining, recording: Recording, run: DwiseRun, place: int) -> dict[str, Any]:
    """Return the scores on whole validation trials with sliding windows, including the single-trial correlation."""
    view = DwiseNeuro(run.averaged, place, subject=run.mice[place].subject)
    return scores_of(view, recording, watching(recording, chosen.validations), chosen.warmup_frames)


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
