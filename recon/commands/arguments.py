"""Arguments that several commands share; nothing here imports torch, so that `recon --help` is fast."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""The commands of a parser, or the verbs of a command; `add_parser` adds another one."""
Write: TypeAlias = Callable[[str], None]
"""Writes one line of output."""

OVERRIDES = "section.key=value"


def add_configuration(parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace, Write], None]) -> None:
    """Add a configuration with overrides to the parser of a command that computes."""
    parser.add_argument(
        "config", type=Path, metavar="CONFIG", help="a YAML file, or the name of a packaged one, for example demo"
    )
    parser.add_argument("overrides", nargs="*", metavar=OVERRIDES, help="change single settings")
    add_verify(parser)
    parser.set_defaults(command=command, computes=True)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add `--verify`: read all files again, also those whose hashes are remembered."""
    about = "read the recording and all other input files again, instead of trusting their times and sizes"
    parser.add_argument("--verify", action="store_true", help=about)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add `--on`: where tasks run."""
    about = "here (sequentially, the default), local (one process per core or GPU), local:N, ray or ray://…"
    parser.add_argument("--on", default="here", metavar="WHERE", help=about)
