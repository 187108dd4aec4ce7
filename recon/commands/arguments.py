"""Arguments that several commands share; nothing here imports torch, so that `recon --help` is fast."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from recon.errors import InputError
from recon.files.paths import user_path

if TYPE_CHECKING:
    from recon.data.written.nwb_file import NwbSession

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""The commands of a parser, or the verbs of a command; `add_parser` adds another one."""
Write: TypeAlias = Callable[[str], None]
"""Writes one line of output."""
Command: TypeAlias = Callable[[argparse.Namespace, Write], None]
Planned: TypeAlias = Callable[[dict[str, Any]], Iterator[str]]
"""Yields the lines of a dry run of a configuration."""
Adjusted: TypeAlias = Callable[[dict[str, Any], argparse.Namespace], dict[str, Any]]
"""Applies the options of a command to its configuration."""

OVERRIDES = "section.key=value"


def add_configuration(
    parser: argparse.ArgumentParser, command: Command, planned: Planned, *, adjusted: Adjusted | None = None
) -> None:
    """Add a configuration with overrides to the parser of a command that computes.

    `planned` is its dry run; `adjusted` applies options of the command to the configuration that is shown.
    """
    parser.add_argument(
        "config", type=user_path, metavar="CONFIG", help="a YAML file, or the name of a packaged one, for example demo"
    )
    parser.add_argument("overrides", nargs="*", default=(), metavar=OVERRIDES, help="change single settings")
    about = "say what would be computed, what is done already and what is learnt first; compute nothing"
    parser.add_argument("--dry-run", action="store_true", help=about)
    about = "write the configuration with overrides, presets and interpolations resolved; compute nothing"
    parser.add_argument("--print-config", action="store_true", help=about)
    add_verify(parser)
    parser.set_defaults(command=partial(_configured, command, planned, adjusted), computes=True)


def _configured(
    command: Command, planned: Planned, adjusted: Adjusted | None, options: argparse.Namespace, write: Write
) -> None:
    if not (options.print_config or options.dry_run):
        command(options, write)
        return
    from recon.config import load
    from recon.study.outputs import to_yaml

    tree = load(options.config, options.overrides)
    tree = tree if adjusted is None else adjusted(tree, options)
    for line in [to_yaml(tree).decode().rstrip()] if options.print_config else planned(tree):
        write(line)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add `--verify`: read all files again, also those whose hashes are remembered."""
    about = "read the recording and all other input files again, instead of trusting their times and sizes"
    parser.add_argument("--verify", action="store_true", help=about)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add `--on`: where tasks run."""
    about = "here (sequentially, the default), local (one process per core or GPU), local:N, ray or ray://…"
    parser.add_argument("--on", default="here", metavar="WHERE", help=about)


def add_session(parser: argparse.ArgumentParser) -> None:
    """Add what identifies the session in an NWB file: `--start`, `--subject`, `--species`, `--sex`."""
    named = parser.add_argument_group("session, for NWB")
    named.add_argument("--start", default="", metavar="TIME", help="its start, for example 2024-05-01T10:00+02:00")
    named.add_argument("--subject", default="", metavar="ID", help="the animal")
    named.add_argument("--species", default="", metavar="NAME", help="Latin, for example 'Mus musculus'")
    named.add_argument("--sex", default="", choices=("M", "F", "O", "U"), help="M, F, O (other) or U (unknown)")


def session_of(options: argparse.Namespace) -> NwbSession:
    """Return the session that the options of `add_session` describe."""
    from datetime import datetime

    from recon.data.written.nwb_file import NwbSession

    try:
        start = datetime.fromisoformat(options.start) if options.start else None
    except ValueError as error:
        raise InputError(
            f"--start: expected a date and time with its zone, got {options.start!r}; write for example "
            "2024-05-01T10:00+02:00"
        ) from error
    return NwbSession(start, options.subject, options.species, options.sex)
