"""`recon data import`: plain arrays to a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from recon.commands.arguments import Commands, Write


def add_parser(verbs: Commands) -> None:
    """Add `import` to the verbs of `recon data`."""
    verb = verbs.add_parser("import", help="convert plain arrays (.npy, .npz, .h5) to a recording")
    files, form, tiers = (verb.add_argument_group(name) for name in ("arrays: FILE, or FILE:NAME", "form", "tiers"))
    verb.add_argument("folder", type=Path, help="the folder of the new recording")
    files.add_argument("--movie", required=True, metavar="FILE", help="(T,H,W), or (R,T,H,W) in trials")
    files.add_argument("--responses", required=True, metavar="FILE", help="(N,T) or (T,N)")
    files.add_argument("--behavior", metavar="FILE", help="(2,T): pupil dilation, running speed")
    files.add_argument("--pupil", metavar="FILE", help="(2,T): pupil centre x, y")
    files.add_argument("--unit-ids", metavar="FILE", help="(N,)")
    files.add_argument("--coordinates", metavar="FILE", help="(N,3) in micrometres")
    form.add_argument("--frame-rate", type=float, required=True, metavar="HZ")
    form.add_argument("--degrees-per-pixel", type=float, required=True, metavar="DEGREES")
    form.add_argument("--axes", default="thw", help="the movie's axes: t time, h rows, w columns, r trials (thw)")
    form.add_argument("--response-axes", default="", help="nt or tn, with r for trials (inferred from the lengths)")
    form.add_argument("--packed", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="frames are packed bits")
    form.add_argument("--movie-range", type=float, nargs=2, metavar=("BLACK", "WHITE"))
    form.add_argument("--frame-size", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="resize to this")
    form.add_argument("--trial-frames", type=int, default=300, metavar="T", help="frames per trial (300)")
    form.add_argument("--name", default="")
    form.add_argument("--overwrite", action="store_true")
    tiers.add_argument("--train-frames", type=int, metavar="T", help="train on the first T frames, test on the rest")
    tiers.add_argument("--validation", type=float, default=0.1, metavar="SHARE")
    tiers.add_argument("--test", type=float, default=0.1, metavar="SHARE")
    tiers.add_argument("--seed", type=int, default=0)
    verb.set_defaults(command=import_arrays)


def import_arrays(options: argparse.Namespace, write: Write) -> None:
    """Convert plain arrays to a recording."""
    from recon.data.check import info
    from recon.data.formats.arrays_import import import_arrays as make
    from recon.data.open import bar

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
    write(info(recording, progress=bar))
