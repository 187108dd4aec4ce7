"""Search of a recording for neurons with NaN: every file is read once, what is found stays in the cache folder.

A remembered result is trusted under the conditions of a remembered hash (`recon.data.content`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from recon.data.content import SMALL, THREADS, Known, cache_folder, remember, state_of
from recon.data.layout import data_file, load_array
from recon.data.missing import MaskedNeurons, rows_with_gaps
from recon.errors import InputError
from recon.files import digest

FORMAT = "recon-missing-1"


class Searched(NamedTuple):
    """A file's state when its search began, as in `Known`, and its rows with NaN."""

    state: tuple[int, ...]
    rows: tuple[int, ...]

    def holds(self, stat: os.stat_result) -> bool:
        """True where the result may be trusted for a file of this state."""
        return len(self.state) == len(Known._fields) - 1 and Known._make((*self.state, "")).holds(stat)


def masked_neurons(root: Path, trials: Sequence[int], count: int) -> MaskedNeurons:
    """Return the masked ones among `count` neurons; damaged files and those of other shapes are left to the reader."""
    files = {index: data_file(root, "responses", index) for index in trials}
    sizes = {index: file.stat().st_size for index, file in files.items() if file.is_file()}
    there = {index: files[index] for index in sizes}
    small = sum(sizes.values()) < SMALL
    found = {i: _search(file, count) for i, file in there.items()} if small else _remembered(root, there, count)
    return MaskedNeurons(count, len(there), {index: rows for index, rows in found.items() if rows})


def _remembered(root: Path, files: Mapping[int, Path], count: int) -> dict[int, tuple[int, ...]]:
    folder = cache_folder()
    manifest = folder and folder / "missing" / f"{digest([str(root.resolve()), count])}.json"
    known = {} if manifest is None else _read(manifest)
    valid = {i: known[i] for i in files if i in known and known[i].holds(files[i].stat())}
    new = dict(_searched({index: file for index, file in files.items() if index not in valid}, count))
    if new and manifest is not None:
        entries = {str(index): entry for index, entry in sorted((valid | new).items())}
        remember(manifest, {"format": FORMAT, "root": str(root.resolve()), "sum": digest(entries), "files": entries})
    return {index: entry.rows for index, entry in (valid | new).items()}


def _searched(files: Mapping[int, Path], count: int) -> Iterator[tuple[int, Searched]]:
    """Yield files with their rows, several read at a time; a progress bar is shown on terminals after one second."""
    from tqdm import tqdm

    def one(item: tuple[int, Path]) -> tuple[int, Searched]:
        index, file = item
        state = (*state_of(file.stat()), time.time_ns())
        return index, Searched(state, _search(file, count))

    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(one, files.items())
        yield from tqdm(found, total=len(files), desc="responses", leave=False, delay=1, disable=None)


def _search(file: Path, count: int) -> tuple[int, ...]:
    try:
        responses = load_array(file, mapped=True)
    except InputError:
        return ()
    return rows_with_gaps(responses) if responses.shape[:1] == (count,) else ()


def _read(manifest: Path) -> dict[int, Searched]:
    """Return the entries of a manifest; empty if it is absent, damaged or of another format."""
    try:
        stored = json.loads(manifest.read_bytes())
        files = stored["files"]
        if stored["format"] != FORMAT or stored["sum"] != digest(files):
            return {}
        return {int(index): Searched(_whole(state), _whole(rows)) for index, (state, rows) in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _whole(values: Any) -> tuple[int, ...]:
    if not all(type(value) is int for value in values):
        raise ValueError
    return tuple(values)
