"""`recon --print-completion SHELL`: a script that completes commands, options and paths.

Written once by shtab, so that a shell completes at once; argcomplete would start Python at every press of Tab.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from recon.commands.usage import parsers_of
from recon.files.paths import user_path

SHELLS = ("bash", "zsh", "tcsh", "fish")


class PrintCompletion(argparse.Action):
    """Writes the script of a shell and exits; shtab is imported by then only."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        sys.stdout.write(script(parser, str(values)) + "\n")
        parser.exit()


def script(top: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of a shell; paths are completed where an argument takes one."""
    import shtab

    for parser in parsers_of(top):
        for action in parser._actions:
            if action.type is user_path:
                vars(action)["complete"] = shtab.FILE
    text: str = shtab.complete(top, shell=shell)
    return text
