"""`recon init RECORDING`: write a first configuration for a recording."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from recon.commands.arguments import Commands, Write
from recon.errors import InputError
from recon.files.paths import user_path


def add_parser(commands: Commands) -> None:
    """Add `init` to the commands."""
    about = "write a commented configuration for a recording: methods that can run on it, frames, batch"
    parser = commands.add_parser("init", help=about, description=about)
    parser.add_argument("recording", type=user_path, metavar="RECORDING", help="a folder or file")
    parser.add_argument("--encoder", default="", metavar="FILE", help="weights of an encoder (to be trained)")
    parser.add_argument("--judge", default="", metavar="FILE", help="weights of a judge (none)")
    parser.add_argument("--output", type=user_path, metavar="FILE.yaml", help="the configuration (NAME.yaml)")
    parser.add_argument("--run", type=user_path, metavar="FOLDER", help="the folder of its results (runs/NAME)")
    parser.add_argument("--overwrite", action="store_true", help="replace a configuration that is there")
    parser.set_defaults(command=init)


def init(options: argparse.Namespace, write: Write) -> None:
    """Write the configuration, and print its rows, what was left out, and the next command."""
    from recon.files import write_bytes
    from recon.study.draft import Places, draft
    from recon.study.draft_text import by_reason, text_of

    name = options.recording.resolve().stem
    output = options.output or Path(f"{name}.yaml")
    if output.suffix not in (".yaml", ".yml"):
        raise InputError(f"--output: expected a name that ends in .yaml, got {output}; rename it")
    if output.exists() and not options.overwrite:
        raise InputError(f"{output}: expected no file of this name, got one; name another, or add --overwrite")
    run = options.run or Path("runs") / output.stem
    places = Places(options.recording, run, Path(f"weights/{name}.safetensors"), options.encoder, options.judge)
    found = draft(places)
    command = shlex.join(["recon", "benchmark", str(output)])
    write_bytes(output, text_of(found, command=command).encode())
    write(f"configuration: {output}")
    write(f"methods: {'; '.join(row['label'] for row in found.tree['rows'])}")
    if found.others:
        write(f"can run too, as comments: {', '.join(found.others)}")
    for reason, names in by_reason(found.left_out).items():
        write(f"cannot run here: {', '.join(names)}: {reason}")
    if not options.encoder:
        given = [f"recording={options.recording}", f"output={places.weights}"]
        write(f"first: {shlex.join(['recon', 'train', 'encoder', 'train/own_encoder', *given])}")
    write(f"next: {command}")
