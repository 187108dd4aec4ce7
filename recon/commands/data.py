"""`recon data fetch|import|check|info|ceiling`: recordings on disk."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch

from recon.data.ceilings import COLUMNS, Repeats, array_repeats, ceilings, recording_repeats, rows, screen
from recon.data.check import check as check_recording
from recon.data.check import info as describe
from recon.data.formats.arrays_import import import_arrays as make
from recon.data.open import bar, open_recording
from recon.data.public.catalogue import listing, public_file
from recon.data.public.fetch import fetch_public
from recon.errors import InputError
from recon.files import finite, write_table
from recon.report.ceilings import write_ceilings

Write = Callable[[str], None]


def check(options: argparse.Namespace, write: Write) -> None:
    """Print the findings of the checks; the command fails if any is an error."""
    report = check_recording(open_recording(options.folder), progress=bar)
    write(json.dumps(finite(report.plain()), indent=1, ensure_ascii=False) if options.json else str(report))
    if not report.ok:
        raise InputError(f"{options.folder}: expected a readable recording, got the errors above; mend these files")


def info(options: argparse.Namespace, write: Write) -> None:
    """Print a one-screen summary of a recording."""
    write(describe(open_recording(options.folder), progress=bar))


def ceiling(options: argparse.Namespace, write: Write) -> None:
    """Measure every neuron's noise ceilings, write ceiling.csv and ceiling.png, and print the medians."""
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


def import_arrays(options: argparse.Namespace, write: Write) -> None:
    """Convert plain arrays to a recording."""
    recording = make(
        options.folder,
        movie=options.movie,
        responses=options.responses,
        behavior=options.behavior,
        pupil_center=options.pupil,
        unit_ids=options.unit_ids,
        coordinates=options.coordinates,
        frame_rate=options.frame_rate,
        degrees_per_pixel=options.degrees_per_pixel,
        axes=options.axes,
        response_axes=options.response_axes,
        packed=options.packed and tuple(options.packed),
        movie_range=options.movie_range and tuple(options.movie_range),
        frame_size=options.frame_size and tuple(options.frame_size),
        trial_frames=options.trial_frames,
        train_frames=options.train_frames,
        validation=options.validation,
        test=options.test,
        seed=options.seed,
        name=options.name,
        overwrite=options.overwrite,
        progress=bar,
    )
    write(f"recording: {recording.path}")
    write(describe(recording, progress=bar))


def fetch(options: argparse.Namespace, write: Write) -> None:
    """Download public recordings, weights and stimuli, or list the catalogue."""
    if options.list:
        for line in listing():
            write(line)
        return
    if not options.names:
        raise InputError("name: expected one or more names, got none; `recon data fetch --list` shows them all")
    for item in [public_file(name) for name in options.names]:
        write(f"{item.name}: {item.about}")
        write(f"licence: {item.licence}")
        path = fetch_public(item, options.to or item.folder, accepted=options.accept_licence, say=write)
        write(f"{'unpacked' if item.unpack else 'file'}: {path}")
