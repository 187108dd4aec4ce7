"""`recon export RUN --nwb FILE`: a finished run in a format of the field."""

from __future__ import annotations

import argparse

from recon.commands.arguments import Commands, Write, add_session, session_of
from recon.files.paths import user_path


def add_parser(commands: Commands) -> None:
    """Add `export` to the commands."""
    parser = commands.add_parser("export", help="write reconstructions, scores and provenance of a run as an NWB file")
    parser.add_argument("run", type=user_path, help="the folder of a finished run, for example runs/demo")
    parser.add_argument("--nwb", type=user_path, required=True, metavar="FILE", help="the file, FILE.nwb")
    parser.add_argument("--truth", action="store_true", help="include the true clips; mind their licence")
    add_session(parser)
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=export)


def export(options: argparse.Namespace, write: Write) -> None:
    """Write a run as an NWB file, and print what it holds and what is unknown."""
    from recon.report.nwb import write_run

    notes = write_run(options.run, options.nwb, session_of(options), truth=options.truth, overwrite=options.overwrite)
    for note in notes:
        write(f"note: {note}")
    write(f"nwb: {options.nwb}")
