"""`recon data fetch|import|check|info`: recordings on disk."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

from recon.data.check import check as check_recording
from recon.data.check import info as describe
from recon.data.fetch import fetch_public
from recon.data.importer import import_arrays as make
from recon.data.public import listing, public_file
from recon.data.sensorium import open_recording

Write = Callable[[str], None]


def check(options: argparse.Namespace, write: Write) -> None:
    """Say what is wrong with a recording; an error in it is an error of the command."""
    report = check_recording(open_recording(options.folder), progress=_bar)
    write(str(report))
    if not report.ok:
        raise ValueError(f"{options.folder}: expected a readable recording, got the errors above; mend these files")


def info(options: argparse.Namespace, write: Write) -> None:
    """Say on one screen what is in a recording."""
    write(describe(open_recording(options.folder), progress=_bar))


def import_arrays(options: argparse.Namespace, write: Write) -> None:
    """Turn plain arrays into a recording."""
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
        progress=_bar,
    )
    write(f"recording: {recording.path}")
    write(describe(recording, progress=_bar))


def fetch(options: argparse.Namespace, write: Write) -> None:
    """Download public recordings, weights and stimuli, or list what is known."""
    if options.list:
        for line in listing():
            write(line)
        return
    if not options.names:
        raise ValueError("name: expected one or more names, got none; `recon data fetch --list` shows them all")
    for item in [public_file(name) for name in options.names]:
        write(f"{item.name}: {item.about}")
        write(f"licence: {item.licence}")
        path = fetch_public(item, options.to or item.folder, accepted=options.accept_licence, say=write)
        write(f"{'unpacked' if item.unpack else 'file'}: {path}")


def _bar(items: Sequence[int]) -> Iterable[int]:
    bar: Iterable[int] = tqdm(items, unit="trial", leave=False, disable=None)
    return bar
