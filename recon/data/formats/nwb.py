"""NWB 2 files, read through a mapping; MICrONS scans and Allen Neuropixels sessions have built-in mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from recon.data.formats.allen_stimuli import ReadStimuli, read_stimuli, template_frames
from recon.data.formats.fluorescence import RELATIVE, RelativeFluorescence
from recon.data.formats.nwb_series import behavior_streams, grey_movie, times_of, unit_ids
from recon.data.formats.nwb_tables import interval_rows, presentation_tables, sorted_intervals, template_repeats
from recon.data.formats.session import BEHAVIOR, Session, ShownStimulus, Spikes, Stream
from recon.data.formats.stored_units import decisions, spike_times
from recon.data.hdf5 import Hdf5, Turned, Values, is_hdf5, open_hdf5
from recon.data.layout import Array
from recon.data.unit_ids import Ids
from recon.errors import InputError


@dataclass(frozen=True)
class NwbMapping:
    """Paths of the required data inside an NWB 2 file; `*` matches any name.

    `responses`: RoiResponseSeries, concatenated over fields; or `units`: a units table, whose spikes are counted.
    `movie`: an ImageSeries with one time per frame, cut by the rows of the tables `intervals`; or, with `frame`, a
    template whose frame numbers are that column of the tables, one row per frame. `content` and `tier` are columns of
    the tables. `behavior` maps the names of `recon.data.formats.session.BEHAVIOR` to TimeSeries (`PATH` or
    `PATH:COLUMN`). `activity`: "stored", or "relative" for raw fluorescence, (F − F₀)/F₀ over a running baseline.
    """

    responses: tuple[str, ...] = ()
    units: str = ""
    movie: str = ""
    intervals: tuple[str, ...] = ()
    frame: str = ""
    content: str = ""
    tier: str = ""
    behavior: Mapping[str, str] = field(default_factory=dict)
    activity: Literal["stored", "relative"] = "stored"

    def __post_init__(self) -> None:
        unknown = sorted(set(self.behavior) - set(BEHAVIOR))
        if bool(self.responses) == bool(self.units) or not self.movie or unknown:
            raise InputError(
                "mapping: expected responses or units, a movie, and behavior of "
                f"{', '.join(BEHAVIOR)}, got {self}; see docs/how-to/own_data.md"
            )


MICRONS = NwbMapping(
    responses=("processing/ophys/Fluorescence/RoiResponseSeries*",),
    movie="acquisition/Video*",
    intervals=("intervals/Clip", "intervals/Monet2", "intervals/Trippy"),
    content="condition_hash",
    behavior={
        "pupil_dilation": "acquisition/PupilTracking/pupil_major_radius",
        "running_speed": "acquisition/treadmill_velocity",
        "pupil_x": "acquisition/EyeTracking/eye_position:0",
        "pupil_y": "acquisition/EyeTracking/eye_position:1",
    },
    activity="relative",
)
"""Functional scans of MICrONS (DANDI 000402): raw fluorescence per field, clips identified by condition hash."""
NEUROPIXELS = NwbMapping(
    units="units",
    movie="stimulus/templates/*",
    intervals=("intervals/*_presentations",),
    frame="frame",
    behavior={"running_speed": "processing/running/running_speed"},
)
"""Allen Visual Coding, Neuropixels: units by area; all tables of presentations, each with the template of its name."""


def looks_like(path: Path) -> bool:
    """Return whether a file is NWB 2."""
    return is_hdf5(path) and path.suffix == ".nwb" and open_hdf5(path).find("file_create_date") is not None


def known_mapping(file: Hdf5) -> NwbMapping:
    """Return the built-in mapping that fits a file; raises InputError if none does."""
    for mapping in (MICRONS, NEUROPIXELS):
        movie = "" if mapping is NEUROPIXELS else mapping.movie  # gratings need no template
        wanted = [*mapping.responses, mapping.units, movie, mapping.intervals[0]]
        if all(file.children(name) for name in wanted if name):
            return mapping
    raise InputError(
        f"{file.path}: expected a MICrONS scan or an Allen Neuropixels session, got another NWB file; say in a mapping "
        "where responses and movie are (--mapping FILE.yaml, see docs/how-to/own_data.md)"
    )


def read(path: Path, mapping: NwbMapping | None = None) -> Session:
    """Return the session of a file through the given mapping, or through a built-in one."""
    file = open_hdf5(path)
    where = mapping or known_mapping(file)
    notes: list[str] = []
    responses, ids, areas = _units(file, where, notes) if where.units else _fields(file, where, notes)
    stimuli, behavior = _stimuli(file, where, notes), _behavior(file, where, notes)
    return Session(
        name=path.stem,
        unit_ids=ids,
        responses=responses,
        shown=stimuli.shown,
        behavior=behavior,
        areas=areas,
        notes=notes,
        signal=_signal(where),
        decided=stimuli.decided() | decisions(file.converted),
        screen=stimuli.screen,
    )


def _signal(where: NwbMapping) -> str:
    """Return what the responses are, as far as the schema says: a units table, or containers of fluorescence."""
    fluorescence = all("Fluorescence/" in name or "DfOverF/" in name for name in where.responses)
    return "spikes" if where.units else "calcium" if fluorescence else ""


def _fields(file: Hdf5, where: NwbMapping, notes: list[str]) -> tuple[Stream, Sequence[int], Sequence[str]]:
    """Return the fields of a scan concatenated over cells; their clocks may differ by a constant per field."""
    names = [name for pattern in where.responses for name in file.children(pattern)]
    if not names:
        raise InputError(
            f"{file.path}: expected response series at {', '.join(where.responses)}, got none; correct the mapping"
        )
    clocks = [times_of(file, name) for name in names]
    stored = [file.values(f"{name}/data", axes=2) for name in names]
    parts = [_time_first(values, len(clock)) for values, clock in zip(stored, clocks, strict=True)]
    frames = min(len(clock) for clock in clocks)
    if any(len(clock) != frames for clock in clocks):
        notes.append(f"fields have {', '.join(str(len(c)) for c in clocks)} samples: the first {frames} are used")
    shifts = [clock[:frames] - clocks[0][:frames] for clock in clocks]
    usual = float(np.median(np.diff(clocks[0])))
    if any(float(np.ptp(shift)) > 0.1 * usual for shift in shifts):
        raise InputError(
            f"{file.path}: expected fields whose clocks differ by a constant, got up to "
            f"{max(float(np.ptp(shift)) for shift in shifts):g} s of drift; convert them one by one"
        )
    each = np.concatenate([np.full(part.shape[1], shift.mean()) for part, shift in zip(parts, shifts, strict=True)])
    side = _SideBySide(parts, frames)
    values = RelativeFluorescence(side, 1 / usual) if where.activity == "relative" else side
    if where.activity == "relative":
        notes.append(RELATIVE)
    rises = np.diff(clocks[0][:frames], prepend=-np.inf) > 0
    if not rises.all():
        raise InputError(f"{file.path}: expected increasing times of {names[0]}; correct the clock")
    return Stream(clocks[0][:frames], values, each if each.any() else None), range(side.shape[1]), ()


class _SideBySide:
    """Concatenation over cells of series `(frames, cells)`, cut to the first `frames` samples."""

    def __init__(self, parts: Sequence[Values | Turned], frames: int) -> None:
        self.parts, self.shape = parts, (frames, sum(part.shape[1] for part in parts))

    def __getitem__(self, index: slice) -> Array:
        span = slice(*index.indices(self.shape[0]))
        return np.concatenate([np.asarray(part[span], dtype=np.float64) for part in self.parts], axis=1)


def _time_first(values: Values, frames: int) -> Values | Turned:
    if values.shape[0] == frames:
        return values
    if values.shape[1] == frames:
        return Turned(values)
    raise InputError(f"{values.name}: expected {frames} samples, one per time, got {values.shape}; copy the file again")


def _units(file: Hdf5, where: NwbMapping, notes: list[str]) -> tuple[Spikes, Ids, Sequence[str]]:
    table = where.units
    flat, ends = spike_times(file, f"{table}/spike_times"), file.column(f"{table}/spike_times_index")
    ends = ends.astype(np.int64)
    if len(ends) == 0 or ends[-1] != len(flat) or bool((np.diff(ends, prepend=0) < 0).any()):
        raise InputError(f"{file.path}:{table}: expected spike times of units, got an index that does not fit; copy it")
    spikes = [np.sort(own[np.isfinite(own)]) for own in np.split(flat, ends[:-1])]
    known = flat[np.isfinite(flat)]
    span = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    ids: Ids = unit_ids(file, f"{table}/id") if file.find(f"{table}/id") is not None else range(len(ends))
    return Spikes(spikes, span), ids, _areas(file, table, len(ends), notes)


def _areas(file: Hdf5, table: str, units: int, notes: list[str]) -> Sequence[str]:
    """Return the area of every unit from its peak channel (Allen sessions); empty if not stored."""
    electrodes = "general/extracellular_ephys/electrodes"
    if file.find(f"{table}/peak_channel_id") is None or file.find(f"{electrodes}/location") is None:
        return ()
    channels = file.column(f"{table}/peak_channel_id")
    location = dict(zip(file.column(f"{electrodes}/id").tolist(), file.texts(f"{electrodes}/location"), strict=False))
    found = [location.get(channel, "") for channel in channels.tolist()]
    if len(found) != units:
        notes.append("peak channels do not fit the units: areas are left out")
        return ()
    return found


def _stimuli(file: Hdf5, where: NwbMapping, notes: list[str]) -> ReadStimuli:
    """Return the presentations: in Allen sessions of all stimuli, else of the movie that the mapping names."""
    if where != NEUROPIXELS:
        return ReadStimuli(list(_presentations(file, where, notes)))
    read = read_stimuli(list(presentation_tables(file, where.intervals, where.movie)), notes)
    if not read.shown:
        got = "; ".join(read.reasons()) or "none"
        raise InputError(f"{file.path}: expected stimuli that can be rendered, got {got}; name a movie in a mapping")
    return read


def _presentations(file: Hdf5, where: NwbMapping, notes: list[str]) -> Iterator[ShownStimulus]:
    movies = file.children(where.movie)
    if len(movies) != 1:
        raise InputError(f"{file.path}: expected one movie at {where.movie}, got {len(movies)}; name one")
    movie = grey_movie(file, f"{movies[0]}/data")
    tables = [name for pattern in where.intervals for name in file.children(pattern)]
    columns = (where.content, where.tier)
    if where.frame:
        for table in tables:
            yield from template_repeats(file, table, movie, frame=where.frame, columns=columns, notes=notes)
        return
    clock = times_of(file, movies[0])
    if len(clock) != movie.shape[0]:
        count = min(len(clock), movie.shape[0])
        notes.append(f"the movie has {movie.shape[0]} frames and {len(clock)} times: the first {count} are used")
        clock = clock[:count]
    lost = int((~np.isfinite(clock)).sum())
    if lost:
        notes.append(f"{lost} frames of the movie have no time: they are left out")
    kept = np.flatnonzero(np.isfinite(clock))
    back = int((np.diff(clock[kept]) < 0).sum())
    if back:
        notes.append(f"the frames of the movie are sorted by time; {back} came before the one above")
    kept = kept[np.argsort(clock[kept], kind="stable")]
    kept = kept[np.diff(clock[kept], prepend=-np.inf) > 0]
    if len(kept) < 2:
        raise InputError(f"{file.path}: expected times of the movie's frames, got {len(kept)}; check the mapping")
    usual = float(np.median(np.diff(clock[kept])))
    whole = [(clock[kept[0]], clock[kept[-1]] + usual, movies[0], "")]
    rows = [row for table in tables for row in interval_rows(file, table, columns)] or whole
    for start, stop, content, tier in sorted_intervals(rows, notes):
        own = kept[(clock[kept] >= start - 0.5 * usual) & (clock[kept] < stop - 0.5 * usual)]
        if len(own):
            end = max(min(stop, clock[own[-1]] + 2 * usual), clock[own[-1]] + 0.5 * usual)
            yield ShownStimulus(clock[own], float(end), partial(template_frames, movie, own), content, tier)
        else:
            notes.append(f"{content} at {start:.1f} s: no movie frame in this interval; left out")


def _behavior(file: Hdf5, where: NwbMapping, notes: list[str]) -> dict[str, Stream]:
    places = {signal: place.partition(":")[::2] for signal, place in where.behavior.items()}
    columns = {signal: (name, int(column or 0)) for signal, (name, column) in places.items()}
    return behavior_streams(file, columns, notes)
