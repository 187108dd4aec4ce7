"""`recon captions make`: caption a recording's movies with an image-to-text model."""

from __future__ import annotations

import argparse

from recon.commands.arguments import Commands, Write
from recon.files.paths import user_path


def add_parser(commands: Commands) -> None:
    """Add `captions make` to the commands."""
    about = "describe movies in words"
    verbs = commands.add_parser("captions", help=about).add_subparsers(required=True, metavar="WHAT")
    verb = verbs.add_parser(
        "make", help="caption a recording with an image-to-text model; resumes an interrupted table"
    )
    verb.add_argument("folder", type=user_path, help="the recording")
    verb.add_argument("table", type=user_path, help="the table to write or resume, for example captions.csv")
    verb.add_argument("--model", required=True, help="folder or Hugging Face id, for example microsoft/git-base-coco")
    verb.add_argument("--name", default="", help="name of the captioner in the table (the model's name)")
    verb.add_argument("--every", type=int, default=30, help="frames per caption (30)")
    verb.add_argument("--frames", type=int, default=1, help="frames per input, for video models (1)")
    verb.add_argument("--batch", type=int, default=8, help="batch size (8)")
    verb.add_argument("--longest", type=int, default=30, help="maximum number of tokens per caption (30)")
    verb.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    verb.set_defaults(command=make)


def make(options: argparse.Namespace, write: Write) -> None:
    """Write a table of captions, or resume an interrupted one."""
    from recon.analysis.language.captioner import ImageCaptioner
    from recon.analysis.language.make_captions import Stretches, make_captions
    from recon.data.open import open_recording
    from recon.encoders.base import resolve_device

    stretches = Stretches(options.every, options.frames, options.batch)
    captioner = ImageCaptioner(options.model, options.frames, str(resolve_device(options.device)), options.longest)
    name = options.name or options.model.rstrip("/").split("/")[-1]
    recording = open_recording(options.folder)
    made = make_captions(recording, captioner, options.table, name=name, stretches=stretches)
    write(f"{made} captions by {name}, repeats of clips not counted; table: {options.table}")
