"""`recon data convert SRC DST`: convert recordings of other formats to the canonical layout."""

from __future__ import annotations

import argparse
from functools import partial

from recon.commands.arguments import Commands, Write
from recon.files.paths import user_path


def add_parser(verbs: Commands) -> None:
    """Add `convert` to the verbs of `recon data`."""
    about = "convert experanto, Allen, MICrONS or other NWB files to a recording"
    verb = verbs.add_parser("convert", help=about)
    verb.add_argument("source", type=user_path, help="an experanto folder or an .nwb file")
    verb.add_argument("folder", type=user_path, help="the folder of the new recording")
    verb.add_argument("overrides", nargs="*", default=(), metavar="key=value", help="settings, for example lag=0.1")
    verb.add_argument("--format", choices=("experanto", "allen", "nwb"), help="format of the source (detected)")
    about = "locations of responses and movie in an NWB 2 file"
    verb.add_argument("--mapping", type=user_path, metavar="YAML", help=about)
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
    from recon.data.open import bar

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
