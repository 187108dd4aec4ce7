"""`recon data convert SRC DST`: convert recordings of other formats to the canonical layout."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from recon.commands.arguments import Commands, Write


def add_parser(verbs: Commands) -> None:
    """Add `convert` to the verbs of `recon data`."""
    about = "convert experanto, Allen, MICrONS or other NWB files to a recording"
    verb = verbs.add_parser("convert", help=about)
    verb.add_argument("source", type=Path, help="an experanto folder, .nwb file, or a recording (to correct its clock)")
    verb.add_argument("folder", type=Path, help="the folder of the new recording")
    verb.add_argument("overrides", nargs="*", default=(), metavar="key=value", help="settings, for example lag=0.1")
    verb.add_argument("--format", choices=("experanto", "allen", "nwb"), help="format of the source (detected)")
    verb.add_argument("--mapping", type=Path, metavar="YAML", help="locations of responses and movie in an NWB 2 file")
    verb.add_argument("--overwrite", action="store_true")
    verb.set_defaults(command=convert)


def convert(options: argparse.Namespace, write: Write) -> None:
    """Read a session, write it as a recording, and print notes on irregularities and a summary."""
    from recon.config import load, record
    from recon.config.tree import overridden
    from recon.data.check import info
    from recon.data.formats import FORMATS, format_of
    from recon.data.formats.convert import Conversion
    from recon.data.formats.convert import convert as write_recording
    from recon.data.formats.nwb import NwbMapping
    from recon.data.formats.nwb import read as read_nwb
    from recon.data.layout import is_canonical
    from recon.data.open import bar

    if not options.format and is_canonical(options.source):
        _correct(options, write)
        return
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


def _correct(options: argparse.Namespace, write: Write) -> None:
    """Write a recording again with its clock corrected by `lag` (s) and `drift` (ms per minute)."""
    from recon.config import record
    from recon.config.tree import overridden
    from recon.data.check import info
    from recon.data.open import bar, open_recording
    from recon.data.realigned import ClockCorrection, realigned

    chosen = record(ClockCorrection, overridden({}, options.overrides), where="convert")
    shifts = {"lag": chosen.lag, "drift": chosen.drift}
    source = open_recording(options.source)
    recording = realigned(source, options.folder, **shifts, overwrite=options.overwrite, progress=bar)
    write(f"note: {recording.made_by['notes'][-1]}")
    write(f"recording: {recording.path}")
    write(info(recording, progress=bar))
