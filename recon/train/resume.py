"""Resuming of trainings: the saved state belongs to the data from which it was learnt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recon.encoders.training.state import other_training
from recon.files import digest, write_json


@contextmanager
def resumable(output: Path, *data: str) -> Iterator[Path]:
    """Give the path of the state of a training that writes `output`; a note beside it holds a hash of its data.

    Raises InputError for a state that was learnt from other data. The note is deleted when the training ends.
    """
    state, note = output.with_suffix(".training"), output.with_suffix(".training.json")
    about = {"data": digest(data)}
    if state.is_file() and _read(note) != about:
        raise other_training(state, "one that learnt from other data")
    write_json(note, about)
    yield state
    note.unlink(missing_ok=True)


def _read(note: Path) -> object:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
