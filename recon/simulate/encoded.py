"""Recordings predicted by a trained encoder: frames of films, the encoder's rates, and Poisson responses.

For encoders of real neurons whose recordings are not available. Activity is *predicted*, not recorded; reconstructing
with the same encoder is therefore an easy case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.data.video import SUFFIXES
from recon.data.writer import RecordingWriter
from recon.encoders.base import Encoder
from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Region, Seed, Whole
from recon.simulate.films import read_film
from recon.simulate.movies import make_clip
from recon.simulate.sources import SPLITS

Array = np.ndarray[Any, Any]
CLIP = 60
"""Length in frames of the generated clips from which frames are drawn."""
PER_CLIP = 3
"""Frames drawn per generated clip."""


@dataclass(frozen=True)
class EncodedSettings:
    """Configuration of a predicted recording: the `encoder` and the `films` shown to it.

    Each film gives one test trial of `frames` still frames: evenly spaced among the frames of its first minute whose
    standard deviation within `region` (first row, end row, first column, end column) is at least `contrast`, for grey
    values in [0,1]. Films are cropped centrally to the aspect ratio of the encoder's frames and resized by area
    averaging. `train_trials` and `validation_trials` consist of frames of generated clips in random order.
    """

    encoder: Mapping[str, Any]
    films: Path
    frames: Count = 8
    contrast: NonNegative = 0.1
    region: Region = (0, 36, 0, 64)
    train_trials: Whole = 60
    validation_trials: Whole = 4
    seed: Seed = 0


def show_to_encoder(path: Path, settings: EncodedSettings, encoder: Encoder, *, made_by: Mapping[str, Any]) -> Path:
    """Write the recording to `path`: films in the order of their names, identified by content.

    Raises InputError if a film has too few frames of sufficient contrast.
    """
    spec = encoder.spec
    if spec.behavior:
        raise InputError(
            f"encoder: expected one that needs no behavior, got one of {', '.join(spec.behavior)}; films have none"
        )
    trials: list[tuple[str, str | None, Array]] = [
        ("train", f"train-{i}", video) for i, video in enumerate(_drawn(settings, spec.frame_size, "train"))
    ]
    trials += [("oracle", f"oracle-{i}", v) for i, v in enumerate(_drawn(settings, spec.frame_size, "validation"))]
    trials += [("live_test_main", None, video) for _, video in film_frames(settings, spec.frame_size)]
    generator = torch.Generator().manual_seed(settings.seed)
    count = len(spec.neuron_ids)
    with RecordingWriter(
        path,
        unit_ids=np.array(spec.neuron_ids),
        coordinates=np.zeros((count, 3)),
        degrees_per_pixel=spec.degrees_per_pixel,
        name=path.name,
        acquisition=None,
        made_by=dict(made_by),
    ) as writer:
        for index, (tier, name, video) in enumerate(trials):
            rates = _rates(encoder, video)
            writer.write_trial(
                index,
                tier=tier,
                video=video,
                responses=torch.poisson(rates, generator).numpy(),
                behavior=None,
                pupil_center=None,
                video_id=name,
                captions=(),
                scenes=[],
                rates=None if tier == "train" else rates.numpy(),
            )
    return path


def film_frames(settings: EncodedSettings, frame_size: tuple[int, int]) -> list[tuple[str, Array]]:
    """Return (name, frames `[T,H,W]` uint8) of every film in the folder, sorted by name."""
    if not settings.films.is_dir():
        raise InputError(f"films: expected a folder with {', '.join(SUFFIXES)} files, got {settings.films}; check it")
    top, bottom, left, right = settings.region
    chosen = []
    for path in sorted(path for path in settings.films.iterdir() if path.suffix.lower() in SUFFIXES):
        film = read_film(path, frame_size=frame_size)
        seen = np.flatnonzero(film[:, top:bottom, left:right].std((1, 2)) >= 255 * settings.contrast)
        if len(seen) < settings.frames:
            raise InputError(
                f"{path}: expected {settings.frames} frames of contrast {settings.contrast:g}, got {len(seen)}; "
                "lower contrast or leave the film out"
            )
        places = seen[np.linspace(0, len(seen) - 1, settings.frames).round().astype(int)]
        chosen.append((path.name, np.clip(film[places].round(), 0, 255).astype(np.uint8)))
    return chosen


def _drawn(settings: EncodedSettings, frame_size: tuple[int, int], split: str) -> list[Array]:
    """Return trials `[T,H,W]` of frames from generated clips of a split, in random order."""
    random = np.random.default_rng([settings.seed, SPLITS.index(split)])
    trials = settings.train_trials if split == "train" else settings.validation_trials
    frames: list[Array] = []
    clip = 0
    while len(frames) < trials * settings.frames:
        video = make_clip(split, clip, frames=CLIP, frame_size=frame_size).video
        frames += [video[place] for place in random.choice(len(video), PER_CLIP, replace=False)]
        clip += 1
    order = random.permutation(trials * settings.frames)
    stacked = np.stack(frames)[order]
    return list(stacked.reshape(trials, settings.frames, *frame_size))


@torch.no_grad()
def _rates(encoder: Encoder, video: Array) -> Tensor:
    rates: Tensor = encoder(torch.from_numpy(video).float()[None, None] / 255)
    return rates[0].clamp_min(0)
