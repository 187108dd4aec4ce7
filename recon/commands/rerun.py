"""`recon rerun RUN`: repeat a run and compare all numbers."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from recon.commands.arguments import Commands, Write, add_place, add_verify
from recon.files.paths import user_path

if TYPE_CHECKING:
    from recon.study.rerun import RunComparison

DIFFERENT = 1
"""Exit code of `recon rerun` if any number differs."""


def add_parser(commands: Commands) -> None:
    """Add `rerun` to the commands."""
    about = "repeat a run from its stored configuration and compare all numbers; exit code 1 if any differ"
    parser = commands.add_parser("rerun", help=about, description=about)
    parser.add_argument("run", type=user_path, help="the run's folder")
    parser.add_argument("--to", type=user_path, help="the folder of the new run (`NAME again`, next to the old one)")
    trust = "import the modules that the configuration names (module:factory): their code is executed"
    parser.add_argument("--trust-code", action="store_true", help=trust)
    add_place(parser)
    add_verify(parser)
    parser.set_defaults(command=rerun, computes=True)


def rerun(options: argparse.Namespace, write: Write) -> int:
    """Repeat a run and compare all numbers; return exit code 0 if they are identical."""
    from recon.study.executors.places import place_of
    from recon.study.rerun import rerun as run_again

    place, trusted = place_of(options.on), options.trust_code
    folder, found = run_again(options.run, options.to, say=write, progress=True, on=place, trust_code=trusted)
    write(f"again: {folder}")
    for line in compared(found):
        write(line)
    return 0 if found.identical else DIFFERENT


def compared(found: RunComparison) -> Iterator[str]:
    """Yield the lines that compare two runs of one configuration."""
    if found.identical:
        yield f"{found.rows} rows, all numbers identical"
    else:
        yield f"{found.rows} rows, {found.missing} of them missing, {found.more} more"
    for column, (count, largest) in sorted(found.differing.items()):
        apart = "not numeric" if math.isinf(largest) else f"by at most {largest:.3g}"
        yield f"  {column}: {count} values differ, {apart}"
    for name, (before, after) in sorted(found.environment.items()):
        yield f"  {name} was {before}, is {after}"
