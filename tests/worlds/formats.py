"""Sessions with known ground truth in the field's formats (NWB: `formats_nwb`), written with the field's own writers.

Every unit responds to one cell of the screen: its activity is the grey level `LATENCY` seconds earlier. A reader that
shifts a clock by one frame therefore fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

Array = np.ndarray[Any, Any]

ROWS, COLUMNS = 9, 16
UNITS = ROWS * COLUMNS // 4
LATENCY = 0.1
VIDEO = "acquisition/Video: stimulus_17797_4_10_v4"


@dataclass(frozen=True)
class Film:
    """Frames `(T,H,W)` uint8 with their onset times; between films the screen is grey."""

    frames: Array
    onsets: Array


def film(seconds: float, *, rate: float, start: float, seed: int, jitter: float = 0.0) -> Film:
    """Return a smooth movie of blobs that appear and disappear within half a second."""
    generator = np.random.default_rng(seed)
    count = round(seconds * rate)
    noise = generator.normal(size=(round(seconds * 4) + 4, ROWS, COLUMNS))
    places = np.linspace(0, len(noise) - 2.001, count)
    low, share = places.astype(int), (places % 1)[:, None, None]
    smooth = noise[low] * (1 - share) + noise[low + 1] * share
    onsets = start + np.arange(count) / rate + jitter * generator.uniform(-1, 1, count)
    return Film(np.clip(128 + 45 * smooth, 0, 255).astype(np.uint8), onsets)


def activity(films: list[Film], times: Array, *, latency: float = LATENCY) -> Array:
    """Return the units' activity at times `(S,UNITS)`: their cell's grey level / 255, `LATENCY` seconds earlier."""
    cells = np.random.default_rng(5).permutation(ROWS * COLUMNS)[:UNITS]
    asked = times - latency
    found = np.full((len(times), UNITS), 0.5)
    for each in films:
        rate = 1 / np.median(np.diff(each.onsets))
        own = (asked >= each.onsets[0]) & (asked < each.onsets[-1] + 1 / rate)
        shown = np.clip(np.searchsorted(each.onsets, asked[own], side="right") - 1, 0, len(each.frames) - 1)
        found[own] = each.frames[shown].reshape(-1, ROWS * COLUMNS)[:, cells] / 255
    return found


def spikes(films: list[Film], end: float, *, rate: float = 60.0) -> list[Array]:
    """Return Poisson spike times of the units, with up to `rate` spikes per second."""
    times = np.arange(0, end, 0.001)
    chance = activity(films, times) * rate * 0.001
    fired = np.random.default_rng(6).random(chance.shape) < chance
    return [times[fired[:, unit]] for unit in range(UNITS)]


def write_experanto(folder: Path, films: list[Film], *, spiking: bool = False, shifts: bool = False) -> Path:
    """Write an experanto folder: videos between blanks, responses at 8 Hz, a treadmill and an eye tracker."""
    screen = folder / "screen"
    (screen / "data").mkdir(parents=True)
    (screen / "meta").mkdir()
    clock: list[float] = []
    pieces = [part for each in films for part in (each, None)]
    for number, part in enumerate(pieces):
        about: dict[str, Any] = {"first_frame_idx": len(clock), "image_size": [ROWS, COLUMNS]}
        if part is None:
            about |= {"modality": "blank", "interleave_value": 128}
            clock.append(clock[-1] + 1 / 30)
        else:
            tier = ("train", "validation", "test")[number // 2 % 3]
            about |= {"modality": "video", "num_frames": len(part.frames), "tier": tier}
            np.save(screen / "data" / f"{number:05d}.npy", part.frames)
            clock += part.onsets.tolist()
        (screen / "meta" / f"{number:05d}.yml").write_text(yaml.safe_dump(about))
    np.save(screen / "timestamps.npy", np.array(clock))
    (screen / "meta.yml").write_text(yaml.safe_dump({"modality": "screen", "frame_rate": 30.0}))
    end = clock[-1] + 2
    if spiking:
        _spikes(folder / "spikes", spikes(films, end), end)
    else:
        _sequence(folder / "responses", films, end, shifts=shifts)
    _signals(folder / "treadmill", np.sin(np.arange(0, end, 0.05))[:, None], 20.0)
    eye = np.tile(np.arange(0, end, 0.05)[:, None] % 3, (1, 4))
    eye[100:108] = np.nan  # 0.4 s blink
    _signals(folder / "eye_tracker", eye, 20.0, mapped=True)
    return folder


def _sequence(folder: Path, films: list[Film], end: float, *, shifts: bool) -> None:
    rate, start = 8.0, -0.5
    times = start + np.arange(round((end - start) * rate)) / rate
    late = np.linspace(0, 0.11, UNITS) if shifts else np.zeros(UNITS)
    values = np.stack([activity(films, times + late[unit])[:, unit] for unit in range(UNITS)], 1)
    _signals(folder, values, rate, start=start, mapped=True, shifts=late if shifts else None)


def _signals(
    folder: Path, values: Array, rate: float, *, start: float = 0.0, mapped: bool = False, shifts: Array | None = None
) -> None:
    (folder / "meta").mkdir(parents=True)
    about = {
        "modality": "sequence",
        "start_time": start,
        "end_time": start + len(values) / rate,
        "sampling_rate": rate,
        "n_signals": values.shape[1],
        "n_timestamps": len(values),
        "dtype": "float32",
        "is_mem_mapped": mapped,
        "phase_shift_per_signal": shifts is not None,
    }
    (folder / "meta.yml").write_text(yaml.safe_dump(about))
    if mapped:
        values.astype(np.float32).tofile(folder / "data.mem")
    else:
        np.save(folder / "data.npy", values.astype(np.float32))
    if shifts is not None:
        np.save(folder / "meta" / "phase_shifts.npy", shifts)


def _spikes(folder: Path, times: list[Array], end: float) -> None:
    folder.mkdir(parents=True)
    np.concatenate(times).tofile(folder / "spikes.npy")
    edges = [0, *np.cumsum([len(own) for own in times]).tolist()]
    about = {"modality": "spikes", "n_signals": len(times), "spike_indices": edges, "start_time": 0.0, "end_time": end}
    (folder / "meta.yml").write_text(yaml.safe_dump(about))


def write_stills(folder: Path, *, images: int = 90, scale: int = 16) -> Path:
    """Write a Sensorium 2022 mouse: images (1,144,256) at scale 16, with a response and three behavior rows each.

    The last tenth are test images shown twice; the responses of the last two are withheld.
    """
    generator = np.random.default_rng(8)
    noise = generator.normal(size=(images, ROWS, COLUMNS))
    levels = np.clip(128 + 45 * noise, 0, 255)
    tiers = ["train"] * (images * 7 // 10) + ["validation"] * (images // 10)
    shown = [*range(len(tiers)), *(index for index in range(len(tiers), images) for _ in range(2))]
    tiers += ["test"] * (len(shown) - len(tiers) - 2) + ["final_test"] * 2
    cells = np.random.default_rng(5).permutation(ROWS * COLUMNS)[:UNITS]
    for trial, index in enumerate(shown):
        responses = levels[index].ravel()[cells] / 255 * (tiers[trial] != "final_test")
        for variable, values in {
            "images": np.kron(levels[index], np.ones((scale, scale)))[None].astype(np.float32),
            "responses": responses + (tiers[trial] == "test") * generator.normal(0, 0.01, UNITS),
            "behavior": np.array([30.0 + trial, 0.0, 2.0]),
            "pupil_center": np.array([1.0, -1.0]),
        }.items():
            _array(folder / f"data/{variable}/{trial}.npy", values)
    _array(folder / "meta/trials/tiers.npy", np.array(tiers))
    _array(folder / "meta/trials/frame_image_id.npy", 5000 + np.array(shown))
    _array(folder / "meta/neurons/unit_ids.npy", 1 + np.arange(UNITS))
    _array(folder / "meta/neurons/cell_motor_coordinates.npy", np.arange(3 * UNITS).reshape(UNITS, 3))
    return folder


def write_twin(folder: Path, films: list[Film], *, scale: int = 16) -> Path:
    """Write the training and evaluation folders of a digital twin: movies (T,144,256,1) at scale 16, z-scored behavior.

    The last two films are repeats of one video; eye positions are missing, as the layout allows.
    """
    for number, each in enumerate(films):
        repeat = number >= len(films) - 2
        root = folder / ("evaluation_data" if repeat else "training_data")
        name = f"video0/repeat{number}" if repeat else f"trial{number}"
        movie = films[-1].frames if repeat else each.frames
        own = Film(movie, each.onsets)
        for variable, values in {
            "stimuli": np.kron(movie, np.ones((1, scale, scale), np.uint8))[..., None],
            "units": activity([own], each.onsets).astype(np.float32),
            "perspectives": np.full((len(movie), 2), np.nan, np.float32),
            "modulations": np.stack([np.sin(each.onsets), np.cos(each.onsets)], 1).astype(np.float32),
        }.items():
            _array(root / variable / f"{name}.npy", values)
        if not repeat:
            _array(root / "training" / f"{name}.npy", np.array(number > 0))
            _array(root / "samples" / f"{name}.npy", np.array(len(movie)))
    return folder


def write_mouse(folder: Path, films: list[Film]) -> Path:
    """Write a Sensorium 2023 mouse, padded with NaN; the last trial listed in the tiers has no file."""
    for trial, each in enumerate(films):
        values = {
            "videos": np.moveaxis(each.frames, 0, -1),
            "responses": activity([each], each.onsets).T,
            "behavior": np.ones((2, len(each.frames))),
            "pupil_center": np.zeros((2, len(each.frames))),
        }
        for variable, array in values.items():
            padding = np.full((*array.shape[:-1], 9), np.nan)
            _array(folder / f"data/{variable}/{trial}.npy", np.concatenate([array, padding], -1).astype(np.float32))
    tiers = ["train"] * (len(films) - 2) + ["oracle", "live_test_main", "none"]
    _array(folder / "meta/trials/tiers.npy", np.array(tiers))
    _array(folder / "meta/neurons/unit_ids.npy", 1 + np.arange(UNITS))
    _array(folder / "meta/neurons/cell_motor_coordinates.npy", np.zeros((UNITS, 3), int))
    return folder


def write_arrays(folder: Path, films: list[Film]) -> Path:
    """Write a movie and responses as plain arrays in every supported format: .npy, .npz, .h5, .mat of both kinds."""
    from scipy.io import savemat

    folder.mkdir(parents=True)
    movie = np.concatenate([each.frames for each in films])
    responses = np.concatenate([activity([each], each.onsets) for each in films]).T.astype(np.float32)
    np.save(folder / "movie.npy", movie)
    np.save(folder / "responses.npy", responses)
    np.savez(folder / "all.npz", movie=movie, responses=responses)
    savemat(folder / "all.mat", {"movie": movie, "responses": responses})
    with h5py.File(folder / "all.h5", "w") as file:
        file["stimulus/movie"], file["responses"] = movie, responses
    with h5py.File(folder / "all73.mat", "w", userblock_size=512) as file:
        for name, values, kind in (("movie", movie, "uint8"), ("responses", responses, "single")):
            file[name] = values.T  # MATLAB 7.3 stores axes in reverse
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    return folder


def _array(file: Path, values: Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, values)
