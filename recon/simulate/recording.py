"""Writing of simulated recordings: movies, captions, behavior, noisy activity, expected responses, ground truth."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recon.data.header import read_header
from recon.data.writer import RecordingWriter
from recon.errors import InputError
from recon.files.paths import user_path
from recon.simulate.acquisition import acquire, acquisition_times
from recon.simulate.activity import expected_responses, sample_responses, spike_rates
from recon.simulate.behavior import gaze_degrees, simulate_behavior
from recon.simulate.films import film_set, films_content
from recon.simulate.movies import SimulatedClip, make_clip
from recon.simulate.population import SimulatedPopulation
from recon.simulate.scenes import ATTRIBUTES
from recon.simulate.settings import SimulationSettings
from recon.simulate.sources import SPLITS
from recon.simulate.stimuli import stimulus_set
from recon.simulate.threads import one_thread, use_one_thread
from recon.types import AcquisitionTimes

AHEAD = 2
"""Clips rendered in advance while responses are simulated."""
GENERATOR_VERSION = 1
"""Increment whenever equal settings would give different movies or activity."""
CAPTIONS_VERSION = 2
"""Increment whenever equal settings would give other captions; recordings with earlier ones stay valid."""
LATER = ("films", "stimuli", "patches", "calibration_clips")
TIERS = {"train": "train", "validation": "oracle", "test": "live_test_main", "calibration": "calibration"}
SHOWN_ONCE = ("train", "calibration")


@dataclass(frozen=True)
class Presentation:
    """One presentation of clip `index` of a split; `trial` is its index in the recording."""

    trial: int
    split: str
    index: int
    repeat: int


@dataclass(frozen=True)
class _Stage:
    """The animal and the microscope; `times` is None if imaging runs at the frame rate."""

    population: SimulatedPopulation
    times: AcquisitionTimes | None


@one_thread()
def simulate(path: Path | str, settings: SimulationSettings, progress: bool = True) -> Path:
    """Write the recording of the settings to `path`, or reuse an existing one with equal settings.

    An interrupted simulation leaves nothing behind. Other content at `path` raises InputError and is not touched.
    """
    folder = user_path(path)
    made_by = _made_by(settings)
    if is_there(folder, made_by):
        return folder
    stage = _stage(settings)
    cells = stage.population.cells
    with RecordingWriter(
        folder,
        unit_ids=np.arange(1, settings.neurons + 1),
        coordinates=cells.position,
        degrees_per_pixel=settings.degrees_per_pixel,
        name=folder.name,
        acquisition=stage.times,
        made_by=made_by,
    ) as writer:
        _write_trials(writer, stage, progress=progress)
        for name, array in cells.as_arrays().items():
            writer.write_truth(name, array)
    return folder


@one_thread()
@torch.no_grad()
def simulate_movie_responses(
    settings: SimulationSettings, movies: Tensor, generator: torch.Generator, repeats: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Return responses `[B,R,N,T]`, expected responses `[B,N,T]` and behavior `[B,4,T]` to movies `[B,1,T,H,W]`.

    Movies are grey, in [0,1], at 30 Hz and of the settings' frame size. Repeats share the behavior of their movie, so
    the expected responses hold for all of them. The content of the movies is unknown, so semantic and mixed neurons
    respond like low-level ones.
    """
    if movies.ndim != 5 or movies.shape[1] != 1 or tuple(movies.shape[3:]) != settings.frame_size:
        raise InputError(
            f"movies: expected [B,1,T,{settings.frame_size[0]},{settings.frame_size[1]}] in [0,1], "
            f"got {tuple(movies.shape)}; convert to grey and resize"
        )
    stage = _stage(settings)
    population, times = stage.population, stage.times
    random = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    light = movies.mean((1, 3, 4)).double().numpy() * 255
    behavior = torch.from_numpy(np.stack([simulate_behavior(random, row) for row in light])).float()
    drive = population.drive(movies, gaze=_gaze(settings, behavior))
    rates = spike_rates(population.cells, drive, behavior)
    trials = [_acquired(sample_responses(population.cells, rates, generator), times) for _ in range(repeats)]
    return torch.stack(trials, 1), _acquired(expected_responses(population.cells, rates), times), behavior


def presentations(settings: SimulationSettings) -> list[Presentation]:
    """Return all trials in order: training clips once, each validation and test clip `repeats` times, calibration once.

    Calibration comes last, so that the other trials keep their numbers.
    """
    tests = len(_shown_instead(settings)) or settings.test_clips
    counts = {"train": settings.train_trials, "validation": settings.validation_clips, "test": tests}
    counts["calibration"] = settings.calibration_clips
    shown = [
        (split, index, repeat)
        for split in SPLITS
        for index in range(counts[split])
        for repeat in range(_repeats(settings, split))
    ]
    return [Presentation(trial, *what) for trial, what in enumerate(shown)]


def _repeats(settings: SimulationSettings, split: str) -> int:
    return 1 if split in SHOWN_ONCE else settings.repeats


def _write_trials(writer: RecordingWriter, stage: _Stage, *, progress: bool) -> None:
    """Simulate and write all trials in order; other threads render the next clips meanwhile."""
    settings = stage.population.settings
    shown = presentations(settings)
    firsts = [p for p in shown if p.repeat == 0]
    with (
        ThreadPoolExecutor(AHEAD, initializer=use_one_thread) as pool,
        tqdm(shown, desc="simulate", unit="trial", disable=None if progress else True) as bar,
    ):
        coming = deque(pool.submit(_clip, settings, first) for first in firsts[:AHEAD])
        for number, first in enumerate(firsts):
            clip = coming.popleft().result()
            coming.extend(pool.submit(_clip, settings, later) for later in firsts[number + AHEAD :][:1])
            drive = stage.population.drive(_movie(clip), _attributes(clip))
            for repeat in range(_repeats(settings, first.split)):
                _write_trial(writer, stage, replace(first, trial=first.trial + repeat, repeat=repeat), clip, drive)
                bar.update()


@torch.no_grad()
def _write_trial(
    writer: RecordingWriter, stage: _Stage, shown: Presentation, clip: SimulatedClip, drive: Tensor
) -> None:
    settings, cells, times = stage.population.settings, stage.population.cells, stage.times
    seeds = [settings.seed, 12, SPLITS.index(shown.split), shown.index, shown.repeat]
    luminance = clip.video.mean((1, 2), dtype=np.float64)
    behavior = torch.from_numpy(simulate_behavior(np.random.default_rng(seeds), luminance)).float()[None]
    gaze = _gaze(settings, behavior)
    if gaze is not None:
        drive = stage.population.drive(_movie(clip), _attributes(clip), gaze)
    rates = spike_rates(cells, drive, behavior)
    noise = torch.Generator().manual_seed(int(np.random.SeedSequence([*seeds, 1]).generate_state(1)[0]))
    writer.write_trial(
        shown.trial,
        tier=TIERS[shown.split],
        video=clip.video,
        responses=_acquired(sample_responses(cells, rates, noise), times)[0].numpy(),
        behavior=behavior[0, :2].numpy(),
        pupil_center=behavior[0, 2:].numpy(),
        video_id=clip.name,
        captions=clip.captions,
        scenes=clip.describe(),
        rates=None if shown.split == "train" else _acquired(expected_responses(cells, rates), times)[0].numpy(),
    )


def _stage(settings: SimulationSettings) -> _Stage:
    population = SimulatedPopulation(settings)
    return _Stage(population, acquisition_times(population.cells) if settings.acquisition == "8hz" else None)


def _clip(settings: SimulationSettings, shown: Presentation) -> SimulatedClip:
    if shown.split == "test" and _shown_instead(settings):
        return _shown_instead(settings)[shown.index]
    return make_clip(
        shown.split,
        shown.index,
        frames=settings.train_frames if shown.split == "train" else settings.clip_frames,
        frame_size=settings.frame_size,
        degrees_per_pixel=settings.degrees_per_pixel,
    )


@lru_cache(maxsize=1)
def _shown_instead(settings: SimulationSettings) -> list[SimulatedClip]:
    """Return the test clips that replace generated ones: clips of films, or gratings or noise over scales."""
    frames, size, count = settings.clip_frames, settings.frame_size, len(ATTRIBUTES)
    if settings.films is not None:
        return film_set(settings.films, frames=frames, frame_size=size, attributes=count)
    if not settings.stimuli:
        return []
    pitch = settings.degrees_per_pixel
    return stimulus_set(settings.stimuli, frames=frames, frame_size=size, degrees_per_pixel=pitch, attributes=count)


def _movie(clip: SimulatedClip) -> Tensor:
    return torch.from_numpy(clip.video).float()[None, None] / 255


def _attributes(clip: SimulatedClip) -> Tensor:
    return torch.from_numpy(clip.attributes)[None]


def _gaze(settings: SimulationSettings, behavior: Tensor) -> Tensor | None:
    if not settings.eye_movements:
        return None
    return torch.from_numpy(np.stack([gaze_degrees(b) for b in behavior.double().numpy()])).float()


def _acquired(responses: Tensor, times: AcquisitionTimes | None) -> Tensor:
    return responses if times is None else acquire(responses, times)


def _made_by(settings: SimulationSettings) -> dict[str, Any]:
    """Return the provenance of a recording: settings, and films by their content.

    Settings in `LATER` are included only if they differ from the default.
    """
    plain = asdict(SimulationSettings())
    used = {name: value for name, value in asdict(settings).items() if name not in LATER or value != plain[name]}
    versions = {"generator": GENERATOR_VERSION, "captions": CAPTIONS_VERSION}
    about: dict[str, Any] = json.loads(json.dumps({**versions, "settings": used}, default=str))
    films = {} if settings.films is None else films_content(settings.films)
    return about | ({"content": films} if films else {})


def is_there(folder: Path, made_by: dict[str, Any]) -> bool:
    """Return True if the folder holds a recording of these settings; raise InputError for any other content.

    `made_by["content"]` holds hashes of the films and the encoder behind it, of those that exist: what it was made from
    may be gone, but not changed.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = read_header(folder)["made_by"]
    if _settled(found) == _settled(made_by) and not _changed(found, made_by):
        return True
    raise InputError(
        f"{folder}: expected a new folder or a simulation of the same settings, got {_difference(found, made_by)}; "
        "choose another folder or remove this one"
    )


def _settled(made_by: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made_by.items() if name not in ("content", "captions")}


def _changed(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of the inputs whose content is another than that from which a recording was made."""
    known = found.get("content") or {}
    return [name for name, content in wanted.get("content", {}).items() if known.get(name) != content]


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    settings = found.get("settings")
    if not settings:
        return "something else"
    if _settled(found) == _settled(wanted):
        return f"one of other content of {', '.join(_changed(found, wanted))}"
    names = [f"{k}={settings.get(k)}" for k, v in wanted["settings"].items() if settings.get(k) != v]
    return f"one with {', '.join(names)}" if names else f"one of generator version {found.get('generator')}"
