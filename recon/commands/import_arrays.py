"""`recon data import`: plain arrays and video files to a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from recon.commands.arguments import Commands, Write
from recon.files.paths import user_path

if TYPE_CHECKING:
    from recon.data.sensorium import SensoriumRecording

SIZE = ("ROWS", "COLUMNS")
SOURCES = {
    "--movie": "(T,H,W), (R,T,H,W) in trials, with colours (…,3), or video files",
    "--responses": "(N,T), (R,N,T), or a file for each trial",
    "--behavior": "(2,T): pupil dilation, running speed",
    "--pupil": "(2,T): pupil centre x, y",
}
"""Options that take one file, or one for each movie or trial."""
ABOUT = "convert a movie (arrays .npy, .npz, .h5, .mat, or video files) and responses to a recording"
EXAMPLES = """examples:
  recon data import recordings/mine --movie movie.npy --responses responses.npy --frame-rate 30 --degrees-per-pixel 1.9
  recon data import recordings/mine --movie film.mp4 --responses spikes.npy --behavior run_pupil.npy --trim \\
    --frame-rate 60 --degrees-per-pixel 0.12 --frame-size 36 64
  recon data import recordings/mine --movie a.mp4 b.mp4 --trials trials.csv --responses spikes.npy \\
    --frame-rate 30 --degrees-per-pixel 0.12 --frame-size 36 64

trials.csv has a line for each trial: movie,start,tier (a.mp4,0,train); start and tier may be left out."""


def add_parser(verbs: Commands) -> None:
    """Add `import` to the verbs of `recon data`."""
    verb = verbs.add_parser("import", help=ABOUT, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    files, form, tiers = (verb.add_argument_group(name) for name in ("sources: FILE, or FILE:NAME", "form", "tiers"))
    verb.add_argument("folder", type=user_path, help="the folder of the new recording")
    for option, about in SOURCES.items():
        needed = option in ("--movie", "--responses")
        files.add_argument(option, required=needed, nargs="+", metavar="FILE", help=about)
    files.add_argument("--trials", type=user_path, metavar="CSV", help="the movie of each trial, its start and tier")
    files.add_argument("--unit-ids", metavar="FILE", help="(N,)")
    files.add_argument("--coordinates", metavar="FILE", help="(N,3) in micrometres")
    form.add_argument("--frame-rate", type=float, required=True, metavar="HZ")
    form.add_argument(
        "--degrees-per-pixel", type=float, required=True, metavar="DEGREES", help="of a pixel of the source"
    )
    form.add_argument("--axes", default="", help="the movie's: t time, h rows, w columns, c colours, r trials")
    form.add_argument("--response-axes", default="", help="nt or tn, without that of trials (found by the lengths)")
    form.add_argument("--packed", type=int, nargs=2, metavar=SIZE, help="frames are packed bits")
    form.add_argument("--movie-range", type=float, nargs=2, metavar=("BLACK", "WHITE"))
    form.add_argument("--luma", default="rec601", help="weights of colours: rec601 (default) or rec709")
    form.add_argument("--frame-size", type=int, nargs=2, metavar=SIZE, help="resize to this, of equal aspect ratio")
    form.add_argument("--crop", action="store_true", help="crop centrally to the aspect ratio of the frame size")
    form.add_argument("--trim", action="store_true", help="lengths may differ by one frame, which is cut off")
    form.add_argument("--trial-frames", type=int, default=300, metavar="T", help="longest trial in frames (300)")
    form.add_argument("--lag", type=float, default=0.0, metavar="S", help="read responses S seconds later")
    form.add_argument("--drift", type=float, default=0.0, metavar="MS", help="and MS ms more for every minute")
    form.add_argument("--name", default="", help="of the animal or session")
    form.add_argument("--overwrite", action="store_true")
    tiers.add_argument("--train-frames", type=int, metavar="T", help="train on the first T frames, test on the rest")
    tiers.add_argument("--validation", type=float, default=0.1, metavar="SHARE")
    tiers.add_argument("--test", type=float, default=0.1, metavar="SHARE")
    tiers.add_argument("--seed", type=int, default=0)
    verb.set_defaults(command=import_arrays)


def import_arrays(options: argparse.Namespace, write: Write) -> None:
    """Convert arrays or video files to a recording, and print notes on what was changed and a summary."""
    from recon.data.check import info
    from recon.data.open import bar

    recording = _corrected(options) if options.lag or options.drift else _imported(options, options.folder)
    for note in recording.made_by["notes"]:
        write(f"note: {note}")
    write(f"recording: {recording.path}")
    write(info(recording, progress=bar))


def _corrected(options: argparse.Namespace) -> SensoriumRecording:
    """Import to a folder beside the recording, and write it with its clock corrected."""
    from recon.data.open import bar
    from recon.data.realigned import realigned
    from recon.data.writer import check_destination

    folder = options.folder.absolute()
    check_destination(folder, overwrite=options.overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.import-", dir=folder.parent) as aside:
        recording = _imported(options, Path(aside) / "recording")
        shifts = {"lag": options.lag, "drift": options.drift}
        return realigned(recording, folder, **shifts, overwrite=options.overwrite, progress=bar)


def _imported(options: argparse.Namespace, folder: Path) -> SensoriumRecording:
    from recon.data.formats.arrays_import import import_arrays as make
    from recon.data.open import bar

    return make(
        folder,
        movie=options.movie,
        responses=options.responses,
        behavior=options.behavior,
        pupil_center=options.pupil,
        trials=options.trials,
        unit_ids=options.unit_ids,
        coordinates=options.coordinates,
        frame_rate=options.frame_rate,
        degrees_per_pixel=options.degrees_per_pixel,
        axes=options.axes,
        response_axes=options.response_axes,
        packed=options.packed and tuple(options.packed),
        movie_range=options.movie_range and tuple(options.movie_range),
        luma=options.luma,
        frame_size=options.frame_size and tuple(options.frame_size),
        crop=options.crop,
        trim=options.trim,
        trial_frames=options.trial_frames,
        train_frames=options.train_frames,
        validation=options.validation,
        test=options.test,
        seed=options.seed,
        name=options.name or options.folder.absolute().name,
        overwrite=options.overwrite,
        progress=bar,
    )
