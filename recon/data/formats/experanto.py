"""experanto and OmniMouse folders: a screen with numbered entries, sequences or spikes, each with its own clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.colour import grey
from recon.data.formats.session import Session, ShownStimulus, Spikes, Stream
from recon.data.grey_scale import GreyScale, StoredMovie, agreed, kind_of, measured, scale_in_words
from recon.data.layout import TEST, TRAIN, VALIDATION, Array, load_array
from recon.data.layout import TIERS as CANONICAL
from recon.data.pictures import is_coloured, is_deep, read_picture
from recon.data.unit_ids import Ids
from recon.errors import InputError
from recon.files.plain_yaml import MALFORMED, read_plain, truth

TIERS = {"train": TRAIN, "validation": VALIDATION, "val": VALIDATION, "oracle": VALIDATION, "test": TEST}
TIERS |= {tier: tier for tier in CANONICAL[:-1]}
"""Canonical tiers by experanto name, or by their own; any other name counts as no tier."""
EYE = {1: ("pupil_dilation",), 3: ("pupil_dilation", "pupil_x", "pupil_y")}
EYE[4] = ("pupil_dilation", "", "pupil_x", "pupil_y")
"""Eye-tracker signals by their number; of four, the second (derivative of pupil dilation) is skipped."""
PICTURES = (".png", ".jpg", ".jpeg")
STORED = (*PICTURES, ".npy")
"""Suffixes of the files of a screen."""


@dataclass(frozen=True)
class ScreenEntry:
    """One entry of a screen: frames [first, first + count) of the screen clock, and its metadata `about`."""

    key: str
    first: int
    count: int
    about: Mapping[str, Any]


def looks_like(path: Path) -> bool:
    """Return whether a folder is an experanto recording."""
    return (path / "screen" / "meta.yml").is_file()


def read(path: Path) -> Session:
    """Return the session of a folder: videos and images, `responses` or `spikes`, eye tracker and treadmill.

    Blank and invalid entries are skipped. Tiers are kept if every video and image has a known one.
    """
    notes: list[str] = []
    folder = next((path / name for name in ("responses", "spikes") if (path / name / "meta.yml").is_file()), None)
    if folder is None:
        raise InputError(f"{path}: expected a folder responses or spikes with meta.yml, got none; copy it again")
    responses = activity(folder)
    count = len(responses.times) if isinstance(responses, Spikes) else responses.values.shape[1]
    shown, scale = _presentations(path / "screen", notes)
    return Session(
        name=path.resolve().name,
        unit_ids=_units(folder, count),
        responses=responses,
        shown=shown,
        behavior=_behavior(path, notes),
        coordinates=_coordinates(folder, count),
        notes=notes,
        decided={"scale": scale},
    )


def activity(folder: Path) -> Stream | Spikes:
    """Return the sequence or spikes stored in a folder with meta.yml."""
    about = _yaml(folder / "meta.yml")
    kind = about.get("modality")
    if kind == "spikes":
        return _spikes(folder, about)
    if kind != "sequence":
        raise InputError(f"{folder / 'meta.yml'}: expected modality sequence or spikes, got {kind!r}; convert it first")
    count, signals = (_whole(folder, about, name) for name in ("n_timestamps", "n_signals"))
    values = _values(folder, about, (count, signals))
    rate, start = (_number(folder, about, name) for name in ("sampling_rate", "start_time"))
    shifts = None
    if truth(about.get("phase_shift_per_signal")):
        shifts = load_array(folder / "meta" / "phase_shifts.npy").astype(np.float64).ravel()
        if len(shifts) != signals:
            raise InputError(f"{folder}: expected {signals} phase shifts, got {len(shifts)}; write the folder again")
    return Stream(start + np.arange(count) / rate, values, shifts)


def _values(folder: Path, about: Mapping[str, Any], shape: tuple[int, int]) -> Array:
    if not truth(about.get("is_mem_mapped")):
        values = load_array(folder / "data.npy", mapped=True)
        if values.shape != shape:
            raise InputError(f"{folder / 'data.npy'}: expected {shape} samples × signals, got {values.shape}")
        return values
    file = folder / "data.mem"
    try:
        kind = np.dtype(str(about.get("dtype")))
    except TypeError as error:
        raise InputError(f"{folder / 'meta.yml'}: expected a dtype of numbers, got {about.get('dtype')!r}") from error
    if kind.kind not in "fiu":
        raise InputError(f"{folder / 'meta.yml'}: expected a dtype of numbers, got {kind}; write the folder again")
    size, expected = file.stat().st_size if file.is_file() else -1, shape[0] * shape[1] * kind.itemsize
    if size != expected or not expected:
        raise InputError(f"{file}: expected {expected} bytes ({shape}, {kind}), got {size}; copy it again")
    return np.memmap(file, kind, "r", shape=shape)


def _spikes(folder: Path, about: Mapping[str, Any]) -> Spikes:
    file = folder / "spikes.npy"
    edges = np.asarray(about.get("spike_indices", ()), dtype=np.int64).ravel()
    if not file.is_file() or len(edges) < 2 or edges[0] != 0 or bool((np.diff(edges) < 0).any()):
        raise InputError(f"{folder}: expected spikes.npy and increasing spike_indices from 0, got others; copy again")
    with file.open("rb") as stream:
        wrapped = stream.read(6) == b"\x93NUMPY"
    flat = load_array(file).astype(np.float64) if wrapped else np.fromfile(file, np.float64)
    if len(flat) != edges[-1]:
        raise InputError(f"{file}: expected {edges[-1]} spike times, got {len(flat)}; copy it again")
    span = _number(folder, about, "start_time"), _number(folder, about, "end_time")
    return Spikes([np.sort(part) for part in np.split(flat, edges[1:-1])], span)


def _presentations(screen: Path, notes: list[str]) -> tuple[list[ShownStimulus], str]:
    """Return the presentations of all videos and images, and their grey scales in words."""
    clock = load_array(screen / "timestamps.npy").astype(np.float64).ravel()
    pieces = sorted(_pieces(screen), key=lambda piece: piece.first)
    if not pieces:
        raise InputError(f"{screen}: expected pieces in meta/NNNNN.yml or combined_meta.json, got none; copy it again")
    usual = float(np.median(np.diff(clock))) if len(clock) > 1 else 0.0
    films = [piece for piece in pieces if piece.about.get("modality") in ("video", "image")]
    if not films:
        raise InputError(f"{screen}: expected a video or an image, got only blanks; copy the folder again")
    tiers = [TIERS.get(str(piece.about.get("tier")), "") for piece in films]
    known = all(tiers)
    if not known and any(tiers):
        notes.append("some pieces have no known tier: all are split by content")
    late = [piece.key for piece in films if piece.first + piece.count > len(clock)]
    if late:
        notes.append(f"{len(late)} pieces (first: {late[0]}) have frames without a time: these frames are left out")
    stored = [_measured(screen, piece) for piece in films]
    scales = agreed(movie for movie, _ in stored)
    shown = []
    for piece, tier in zip(films, tiers, strict=True):
        times = clock[piece.first : piece.first + piece.count]
        if len(times) == 0:
            continue
        after = piece.first + piece.count
        end = clock[after] if after < len(clock) and clock[after] > times[-1] else times[-1] + usual
        frames = partial(_frames, screen, piece, scales)
        shown.append(ShownStimulus(times, float(end), frames, content=piece.key, tier=tier if known else ""))
    return shown, scale_in_words(scales, "rec601" if any(colour for _, colour in stored) else None)


def _pieces(screen: Path) -> Iterator[ScreenEntry]:
    combined = screen / "combined_meta.json"
    files = sorted(file for file in (screen / "meta").glob("*.yml") if file.stem.isdigit())
    entries = {file.stem: _yaml(file) for file in files} or (_yaml(combined) if combined.is_file() else {})
    for key, about in entries.items():
        if not isinstance(about, Mapping) or about.get("modality") not in ("video", "image", "blank", "invalid"):
            raise InputError(f"{screen}/meta/{key}.yml: expected modality video, image, blank or invalid, got {about}")
        first = _whole(screen, about, "first_frame_idx")
        count = _whole(screen, about, "num_frames") if about["modality"] == "video" else 1
        if first < 0 or count < 1 or not key.isdigit():
            raise InputError(f"{screen}/meta/{key}.yml: expected a first frame of 0 or more and frames, got {about}")
        yield ScreenEntry(key, first, count, about)


def _frames(screen: Path, piece: ScreenEntry, scales: Mapping[str, GreyScale], numbers: Array) -> Array:
    """Return frames of an entry by number, `(k,H,W)` grey levels."""
    movie = _stored(screen, piece)
    if movie.shape[0] < piece.count:
        raise InputError(f"{screen}/data/{piece.key}: expected {piece.count} frames, got {movie.shape[0]}; copy again")
    return scales[kind_of(movie.dtype)].levels(grey(np.asarray(movie[numbers])))


def _measured(screen: Path, piece: ScreenEntry) -> tuple[StoredMovie, bool]:
    """Return the extremes of an entry's frames, and whether they have colour; 8-bit pictures are not unpacked."""
    file, name = _file(screen, piece), f"{screen}/data/{piece.key}"
    if file.suffix in PICTURES and not is_deep(file):
        return StoredMovie(name, np.dtype(np.uint8), 0.0, 255.0), is_coloured(file)
    movie = _stored(screen, piece)
    return measured(name, movie, movie.dtype), movie.ndim == 4


def _stored(screen: Path, piece: ScreenEntry) -> Array:
    """Return the stored frames of an entry, `(T,H,W)` or `(T,H,W,3)`."""
    file = _file(screen, piece)
    if file.suffix in PICTURES:
        return read_picture(file)
    movie = load_array(file, mapped=True)
    single = movie.ndim == 2 or (movie.ndim == 3 and movie.shape[-1] == 3 and piece.count == 1)
    movie = movie[None] if single else movie
    if movie.dtype.kind not in "fiub" or movie.ndim not in (3, 4) or (movie.ndim == 4 and movie.shape[-1] != 3):
        raise InputError(
            f"{file}: expected frames (T,H,W) or (T,H,W,3), got {movie.dtype} {movie.shape}; write the folder again"
        )
    return movie


def _file(screen: Path, piece: ScreenEntry) -> Path:
    """Return the file of an entry; raises InputError where two have its number."""
    found = [file for file in (screen / "data" / f"{piece.key}{end}" for end in STORED) if file.is_file()]
    if len(found) > 1:
        raise InputError(
            f"{screen / 'data'}: expected one file of entry {piece.key}, got {', '.join(file.name for file in found)}; "
            "remove those that were not shown"
        )
    return found[0] if found else screen / "data" / f"{piece.key}.npy"


def _behavior(path: Path, notes: list[str]) -> dict[str, Stream]:
    found = {}
    if _sampled(path / "treadmill", notes):
        found["running_speed"] = _signal(_sequence(path / "treadmill"), 0)
    if _sampled(path / "eye_tracker", notes):
        eye = _sequence(path / "eye_tracker")
        names = EYE.get(eye.values.shape[1])
        if names is None:
            notes.append(f"the eye tracker has {eye.values.shape[1]} signals, not 1, 3 or 4: it is left out")
        found |= {name: _signal(eye, index) for index, name in enumerate(names or ()) if name}
    return found


def _sampled(folder: Path, notes: list[str]) -> bool:
    """Return whether a folder holds samples; one without is noted."""
    if not (folder / "meta.yml").is_file():
        return False
    count = _yaml(folder / "meta.yml").get("n_timestamps")
    if count in (0, 1):
        notes.append(f"{folder.name}: no samples; left out")
    return count not in (0, 1)


def _sequence(folder: Path) -> Stream:
    found = activity(folder)
    if isinstance(found, Spikes):
        raise InputError(f"{folder / 'meta.yml'}: expected modality sequence, got spikes; write the folder again")
    return found


def _signal(stream: Stream, index: int) -> Stream:
    shifts = None if stream.shifts is None else stream.shifts[index : index + 1]
    return Stream(stream.times, np.asarray(stream.values[:, index : index + 1]), shifts)


def _units(folder: Path, count: int) -> Ids:
    file = folder / "meta" / "unit_ids.npy"
    ids = load_array(file).ravel() if file.is_file() else np.arange(count)
    found: list[int] = ids.tolist() if len(ids) == count else list(range(count))
    return found


def _coordinates(folder: Path, count: int) -> Array | None:
    file = folder / "meta" / "cell_motor_coordinates.npy"
    found = load_array(file) if file.is_file() else None
    return found if found is not None and found.shape == (count, 3) else None


def _yaml(file: Path) -> dict[str, Any]:
    try:
        found = read_plain(file)
    except (OSError, *MALFORMED) as error:
        said = "values nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise InputError(f"{file}: expected YAML or JSON, got {said}; copy the folder again") from error
    if not isinstance(found, dict):
        raise InputError(f"{file}: expected names and values, got {type(found).__name__}; copy the folder again")
    return found


def _number(folder: Path, about: Mapping[str, Any], name: str) -> float:
    value = about.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InputError(f"{folder}/meta: expected a number for {name}, got {value!r}; write the folder again")
    if name == "sampling_rate" and value <= 0:
        raise InputError(f"{folder}/meta: expected a sampling_rate above 0, got {value}; write the folder again")
    return float(value)


def _whole(folder: Path, about: Mapping[str, Any], name: str) -> int:
    value = _number(folder, about, name)
    if value != int(value):
        raise InputError(f"{folder}/meta: expected a whole number for {name}, got {value}; write the folder again")
    return int(value)
