"""NWB files that recon wrote (`recon data convert --to nwb`), read back frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from recon.data.formats import nwb
from recon.data.formats.session import BEHAVIOR, Session, ShownStimulus, Stream
from recon.data.hdf5 import Hdf5, Values, open_hdf5
from recon.data.header import Header
from recon.data.layout import Array
from recon.errors import InputError
from recon.files.weights import from_mapping

MOVIE, TRIALS, FACTS = "stimulus/presentation/movie", "intervals/trials", "analysis/provenance"
KNOWN = ("name", "frame_rate", "degrees_per_pixel", "signal", "activity")
"""Facts that are read; others tell people where the recording comes from."""


def looks_like(path: Path) -> bool:
    """Return whether a file is NWB 2 and written by recon."""
    if not nwb.looks_like(path):
        return False
    file = open_hdf5(path)
    wanted = (f"{MOVIE}/data", f"{TRIALS}/tier", f"{FACTS}/value")
    return all(file.find(name) is not None for name in wanted) and len(file.children("processing/*/responses")) == 1


def read(path: Path) -> Session:
    """Return the session of a file; its presentations are whole trials."""
    file = open_hdf5(path)
    facts, header = _facts(file)
    place = file.children("processing/*/responses")[0]
    neurons = f"{place.rpartition('/')[0]}/neurons"
    movie = file.values(f"{MOVIE}/data", axes=3)
    clock = _clock(file, MOVIE, movie.shape[0])
    return Session(
        name=header.name or file.path.stem,
        unit_ids=[int(number) for number in file.column(f"{neurons}/unit_id")],
        responses=_stream(file, place),
        shown=list(_shown(file, movie, clock, header.frame_rate)),
        behavior={
            name: _stream(file, f"processing/behavior/{name}")
            for name in BEHAVIOR
            if file.find(f"processing/behavior/{name}") is not None
        },
        coordinates=np.stack([file.column(f"{neurons}/{axis}_um") for axis in "xyz"], 1),
        areas=file.texts(f"{neurons}/area") if file.find(f"{neurons}/area") is not None else (),
        degrees_per_pixel=header.degrees_per_pixel,
        rate=header.frame_rate,
        signal=header.signal,
        whole=True,
        origin={"activity": facts.get("activity", "recorded"), "written_by_recon": file.path.name},
        decided={
            "scale": "grey levels 0–255, as written",
            "rate": f"{header.frame_rate:g} Hz, as written",
            "clock": "frame by frame, as written",
            "tiers": "as written",
        },
    )


def _facts(file: Hdf5) -> tuple[dict[str, str], Header]:
    pairs = zip(file.texts(f"{FACTS}/fact"), file.texts(f"{FACTS}/value"), strict=False)
    facts = {name: value for name, value in pairs if name in KNOWN}
    where = f"{file.path}:{FACTS}"
    try:
        numbers = {name: float(facts[name]) for name in ("frame_rate", "degrees_per_pixel")}
    except (KeyError, ValueError) as error:
        raise InputError(f"{where}: expected frame_rate and degrees_per_pixel, got {error}; write it again") from error
    signal = {"signal": facts["signal"]} if "signal" in facts else {}
    return facts, from_mapping(Header, {"name": facts.get("name", ""), **numbers, **signal}, where=where)


def _clock(file: Hdf5, series: str, samples: int) -> Array:
    """Return the times `(S,)` of a series of so many samples."""
    times = nwb.times_of(file, series)
    if len(times) != samples or samples < 1 or not np.isfinite(times).all() or bool((np.diff(times) <= 0).any()):
        raise InputError(
            f"{file.path}:{series}: expected {samples} increasing times, one for each sample, got {len(times)}; "
            "write the file again"
        )
    return times


def _stream(file: Hdf5, series: str) -> Stream:
    values = file.values(f"{series}/data")
    if len(values.shape) not in (1, 2):
        raise InputError(f"{values.name}: expected samples (S,) or (S,N), got {values.shape}; write the file again")
    times = _clock(file, series, values.shape[0])
    return Stream(times, values if len(values.shape) == 2 else values[:][:, None])


def _shown(file: Hdf5, movie: Values, clock: Array, rate: float) -> Iterator[ShownStimulus]:
    starts, stops = (file.column(f"{TRIALS}/{name}").astype(np.float64) for name in ("start_time", "stop_time"))
    tiers, contents = (file.texts(f"{TRIALS}/{name}") for name in ("tier", "content"))
    if len({len(starts), len(stops), len(tiers), len(contents)}) != 1 or not np.isfinite([starts, stops]).all():
        raise InputError(f"{file.path}:{TRIALS}: expected columns of one length with finite times; write it again")
    edges = (np.searchsorted(clock, times - 0.5 / rate) for times in (starts, stops))
    for first, end, content, tier in zip(*edges, contents, tiers, strict=True):
        if end <= first:
            raise InputError(f"{file.path}:{TRIALS}: expected frames in every trial, got none; write the file again")
        onsets = clock[first:end]
        yield ShownStimulus(onsets, float(onsets[-1] + 1 / rate), partial(_frames, movie, int(first)), content, tier)


def _frames(movie: Values, first: int, numbers: Sequence[int] | Array) -> Array:
    """Return frames of a trial by number, `(k,H,W)`; HDF5 requires increasing indices."""
    distinct, back = np.unique(np.asarray(numbers) + first, return_inverse=True)
    return movie[list(distinct)][back]
