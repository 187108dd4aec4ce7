"""Sources of captions: the recording's own, or one captioner of a table."""

from __future__ import annotations

from collections.abc import Callable

from recon.data.caption_tables import Said, read_captions
from recon.errors import InputError
from recon.files.paths import user_path
from recon.simulate.graded_captioners import graded_captions
from recon.types import Caption, Recording

GRADED = "graded"
"""Name of the graded captioners of simulated recordings, in place of a table."""

Spoken = Callable[[int], tuple[Caption, ...]]
"""Returns the captions of a trial."""


def captions_by(recording: Recording, source: str) -> dict[str, list[Said]]:
    """Return captions by captioner, from a table or the graded captioners."""
    return graded_captions(recording) if source == GRADED else read_captions(user_path(source), recording)


def spoken_by(recording: Recording, source: str) -> Spoken:
    """Return a function from trial to captions: the recording's own (""), or those by a captioner, TABLE:CAPTIONER.

    Raises InputError for a captioner absent from the table.
    """
    if not source:
        return recording.spoken
    table, _, name = source.rpartition(":")
    found = _by_trial(recording, table or source, name)
    return lambda trial: tuple(found.get(trial, ()))


def _by_trial(recording: Recording, table: str, name: str) -> dict[int, list[Caption]]:
    known = captions_by(recording, table)
    if name not in known:
        raise InputError(
            f"said: expected TABLE:CAPTIONER with one of {', '.join(known)}, got {name!r}; name a captioner of {table}"
        )
    found: dict[int, list[Caption]] = {}
    for one in known[name]:
        found.setdefault(one.trial, []).append(Caption(one.first, one.end, (one.text,)))
    return found
