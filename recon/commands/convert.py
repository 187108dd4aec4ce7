"""`recon data convert SRC DST`: recordings of other formats to the canonical layout, and with `--to` the way back."""

from __future__ import annotations

import argparse
from functools import partial

from recon.commands.arguments import Commands, Write, add_session, session_of
from recon.errors import InputError
from recon.files.paths import user_path

TO = ("experanto", "nwb", "sensorium2023")
EXAMPLES = """examples:
  recon data convert session.nwb recordings/session lag=0.1        read an NWB file
  recon data convert recordings/mine mine.nwb --to nwb             write one
  recon data convert recordings/mine mine_experanto --to experanto"""


def add_parser(verbs: Commands) -> None:
    """Add `convert` to the verbs of `recon data`."""
    about = "convert experanto, Allen, MICrONS or other NWB files to a recording, or a recording to another format"
    form = argparse.RawDescriptionHelpFormatter
    verb = verbs.add_parser("convert", help=about, epilog=EXAMPLES, formatter_class=form)
    verb.add_argument(
        "source",
        type=user_path,
        help="an experanto folder or an .nwb file; a recording with --to, or to correct its clock",
    )
    verb.add_argument("folder", type=user_path, help="the folder of the new recording; with --to nwb, FILE.nwb")
    verb.add_argument("overrides", nargs="*", default=(), metavar="key=value", help="settings, for example lag=0.1")
    verb.add_argument("--format", choices=("experanto", "allen", "nwb"), help="format of the source (detected)")
    verb.add_argument(
        "--mapping", type=user_path, metavar="YAML", help="locations of responses and movie in an NWB 2 file"
    )
    verb.add_argument("--to", choices=TO, help="write the recording in this format instead")
    add_session(verb)
    verb.add_argument("--overwrite", action="store_true")
    verb.set_defaults(command=convert)


def convert(options: argparse.Namespace, write: Write) -> None:
    """Read a session and write it as a recording, or with `--to` a recording in another format; print what matters."""
    if options.to:
        return _write_as(options, write)
    return _read(options, write)


def _read(options: argparse.Namespace, write: Write) -> None:
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


def _write_as(options: argparse.Namespace, write: Write) -> None:
    from recon.data.open import bar, open_recording
    from recon.data.written import write_as

    given = {"--format": options.format, "--mapping": options.mapping, "key=value": options.overrides}
    if wrong := [name for name, value in given.items() if value]:
        raise InputError(f"--to: expected no {', '.join(wrong)} beside it, got some; convert to a recording first")
    recording, session = open_recording(options.source), session_of(options)
    notes = write_as(recording, options.folder, options.to, session=session, overwrite=options.overwrite, progress=bar)
    for note in notes:
        write(f"note: {note}")
    write(f"{options.to}: {options.folder}")


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
