"""`recon data convert SRC DST`: convert recordings of other formats to the canonical layout."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from recon.config import load, overridden, record
from recon.data.check import info
from recon.data.formats import FORMATS, format_of
from recon.data.formats.convert import Conversion
from recon.data.formats.convert import convert as write_recording
from recon.data.formats.nwb import NwbMapping
from recon.data.formats.nwb import read as read_nwb
from recon.data.open import bar


def convert(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Read a session, write it as a recording, and print notes on irregularities and a summary."""
    settings = record(Conversion, overridden({}, options.overrides), where="convert")
    name = options.format or ("nwb" if options.mapping else format_of(options.source))
    read = FORMATS[name].read
    if options.mapping:
        read = partial(read_nwb, mapping=record(NwbMapping, load(options.mapping), where=str(options.mapping)))
    session = read(options.source)
    write(f"{options.source}: {FORMATS[name].about}; {len(session.unit_ids)} units, {len(session.shown)} presentations")
    recording = write_recording(session, options.folder, settings, overwrite=options.overwrite, progress=bar)
    for note in recording.made_by["notes"]:
        write(f"note: {note}")
    write(f"recording: {recording.path}")
    write(info(recording, progress=bar))
