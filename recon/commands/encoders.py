"""`recon encoders convert|check`: convert published weights; check an encoder, also against a recording."""

from __future__ import annotations

import argparse

from recon.commands.arguments import OVERRIDES, Commands, Write
from recon.files.paths import user_path


def add_parser(commands: Commands) -> None:
    """Add `encoders` and its verbs to the commands."""
    about = "convert published weights, check an encoder"
    verbs = commands.add_parser("encoders", help=about).add_subparsers(required=True, metavar="WHAT")
    about = "convert a published .pth to .safetensors with a card, or back, without executing pickled code"
    verb = verbs.add_parser("convert", help=about)
    verb.add_argument("source", type=user_path, metavar="IN")
    verb.add_argument("target", type=user_path, metavar="OUT")
    verb.set_defaults(command=convert)
    about = "build an encoder, call it on a few frames, and compare it with a recording"
    verb = verbs.add_parser("check", help=about)
    verb.add_argument("name", metavar="NAME", help="an encoder of `recon list`, or package.module:function of your own")
    verb.add_argument("overrides", nargs="*", metavar=OVERRIDES, help="its settings, for example weights=FILE")
    verb.add_argument("--recording", type=user_path, help="the recording that it is to predict")
    verb.set_defaults(command=check)


def convert(options: argparse.Namespace, write: Write) -> None:
    """Write the weights in the format given by the suffix of OUT."""
    from recon.encoders.dwiseneuro import argus_files as argus

    target = argus.convert(options.source, options.target)
    write(f"weights: {target}")
    if target.suffix == ".safetensors":
        write(f"card: {target.with_suffix('.json')}")


def check(options: argparse.Namespace, write: Write) -> None:
    """Write what an encoder takes and returns; raises InputError where it does not fit the recording."""
    import torch

    from recon import config
    from recon.config.tree import overridden
    from recon.data.open import open_recording
    from recon.study.encoders import Arithmetic, ready_encoder

    tree = {**overridden({}, options.overrides), "name": options.name}
    if options.recording is None:
        spec = config.build("encoder", tree, where="encoder").spec
    else:
        recording = open_recording(options.recording)
        spec = ready_encoder(tree, recording, Arithmetic(torch.device("cpu")), where="encoder").spec
    height, width = spec.frame_size
    write(f"frames: {height} × {width} pixels, {spec.channels} channels, {spec.frame_rate:g} Hz")
    write(f"scale: {spec.degrees_per_pixel:g} degrees per pixel")
    write(f"context: {spec.context[0]} frames before, {spec.context[1]} after")
    write(f"behavior: {', '.join(spec.behavior) or 'none'}")
    write(f"rates: {len(spec.neuron_ids)} neurons, {spec.response_transform}")
    if options.recording is not None:
        write(f"fits {options.recording}")
