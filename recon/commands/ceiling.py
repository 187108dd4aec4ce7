"""`recon data ceiling`: noise ceilings from repeated clips."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from recon.commands.arguments import Commands, Write
from recon.errors import InputError
from recon.files.paths import user_path

if TYPE_CHECKING:
    from recon.data.ceilings import Repeats


def add_parser(verbs: Commands) -> None:
    """Add `ceiling` to the verbs of `recon data`."""
    verb = verbs.add_parser("ceiling", help="measure noise ceilings from repeated clips")
    verb.add_argument("folder", type=user_path, nargs="?", help="a recording; or give arrays with --responses")
    several = "FILE:NAME (units, repeats, bins); several arrays are clips of the same units"
    verb.add_argument("--responses", nargs="+", metavar="FILE", help=several)
    verb.add_argument("--areas", metavar="FILE", help="FILE:NAME, one area per unit")
    verb.add_argument("--unit-ids", metavar="FILE", help="FILE:NAME, one id per unit of --responses")
    verb.add_argument(
        "--output", type=user_path, metavar="FOLDER", help="folder of ceiling.csv and .png (the recording, or here)"
    )
    verb.add_argument("--halves", type=int, default=100, metavar="N", help="number of random splits into halves (100)")
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(command=ceiling)


def ceiling(options: argparse.Namespace, write: Write) -> None:
    """Measure every neuron's noise ceilings, write ceiling.csv and ceiling.png, and print the medians."""
    import torch

    from recon.data.ceilings import COLUMNS, ceilings, rows, screen
    from recon.files import write_table
    from recon.report.ceilings import write_ceilings

    repeats = _repeats(options)
    found = ceilings(repeats, generator=torch.Generator().manual_seed(options.seed), halves=options.halves)
    folder = options.output or options.folder or Path()
    write(screen(repeats, found))
    write_table(folder / "ceiling.csv", list(rows(repeats, found)), COLUMNS)
    drawn = {name: values.numpy() for name, values in found.items() if name not in ("signal_power", "alternating")}
    picture = folder / "ceiling.png"
    write_ceilings(picture, drawn, repeats.areas, against=("oracle", "split_half"))
    write(f"table: {folder / 'ceiling.csv'}\npicture: {picture}")


def _repeats(options: argparse.Namespace) -> Repeats:
    from recon.data.ceilings import array_repeats, recording_repeats
    from recon.data.open import bar, open_recording

    if (options.folder is None) == (options.responses is None):
        raise InputError(
            f"ceiling: expected a recording's folder or --responses, got {'both' if options.folder else 'neither'}; "
            "name one of them"
        )
    if options.halves < 1:
        raise InputError(f"halves: expected 1 or more draws, got {options.halves}; correct it")
    if options.responses is not None:
        return array_repeats(options.responses, areas=options.areas, unit_ids=options.unit_ids)
    if options.unit_ids is not None:
        raise InputError("unit-ids: expected them with --responses only, got a folder; a recording has its own")
    return recording_repeats(open_recording(options.folder), areas=options.areas, progress=bar)
