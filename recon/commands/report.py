"""`recon report RUN`: rewrite the page of a run."""

from __future__ import annotations

import argparse

from recon.commands.arguments import Commands, Write
from recon.commands.progress import bar
from recon.errors import InputError
from recon.files.paths import user_path


def add_parser(commands: Commands) -> None:
    """Add `report` to the commands."""
    parser = commands.add_parser("report", help="rewrite the page of a run")
    several = "the folder of a run, for example runs/demo; several are allowed with --markdown"
    parser.add_argument("run", type=user_path, nargs="+", help=several)
    parser.add_argument("--markdown", action="store_true", help="print the table of results instead")
    parser.add_argument("--baseline", default="ridge", help="reference method for differences (ridge)")
    parser.add_argument("--strip", type=user_path, metavar="PNG", help="draw a film strip instead")
    parser.add_argument("--heatmap", type=user_path, metavar="PNG", help="draw heat maps over stimulus scales instead")
    parser.add_argument(
        "--video", type=user_path, metavar="MP4", help="write a video of the true movie above the reconstructions"
    )
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="methods on the strip or in the video (all)")
    parser.add_argument("--clips", type=int, help="clips on the strip (2) or in the video (as many as fill the time)")
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip on the strip (8)")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of the video in seconds (10)")
    parser.set_defaults(command=report)


def report(options: argparse.Namespace, write: Write) -> None:
    """Write report.html to the run's folder, print the table of results, or draw a film strip, heat maps or a video."""
    from recon.report.heatmaps import write_heatmaps
    from recon.report.page import write_report
    from recon.report.strips import write_strip
    from recon.report.tables import markdown
    from recon.report.video import write_video

    for run in options.run:
        if not run.is_dir():
            raise InputError(f"run: expected the folder of a run, got {run}, which does not exist; check the path")
    if options.markdown:
        results = [run / "results.csv" for run in options.run]
        return write(markdown(*results, baseline=options.baseline).rstrip())
    if len(options.run) > 1:
        raise InputError(f"run: expected one folder, got {len(options.run)}; several are allowed with --markdown only")
    (run,) = options.run
    if options.heatmap is not None:
        return write(f"picture: {write_heatmaps(run, options.heatmap)}")
    if options.video is not None:
        asked = {"methods": options.methods or (), "clips": options.clips, "seconds": options.seconds}
        return write(f"video: {write_video(run, options.video, **asked, progress=bar('frame', 'video'))}")
    if options.strip is not None:
        chosen = {"methods": options.methods or (), "clips": options.clips or 2, "count": options.frames}
        return write(f"picture: {write_strip(run, options.strip, **chosen)}")
    return write(f"page: {write_report(run)}")
