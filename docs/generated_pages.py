"""Sphinx extension: pages of the reference that are generated, from names, parsers, registries and modules."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import recon
from recon.commands.parser import parser
from recon.config import listing

ROOMS = {
    "recon.types": "records that cross rooms",
    "recon.errors": "errors that a user can mend",
    "recon.media": "movies, film strips and pictures",
    "recon.data": "reading, checking, converting and writing recordings",
    "recon.simulate": "recordings with known truth",
    "recon.metrics": "scores and statistics",
    "recon.problem": "what is asked: problems, clips, conditions, fidelities",
    "recon.methods": "how it is answered: linear, optimisation, networks, diffusion, text",
    "recon.run": "one run: runner, checkpoint, trace",
    "recon.study": "many runs: settings, provenance, benchmark, ablation, executors",
    "recon.train": "what is learnt beforehand",
    "recon.analysis": "identification, language, receptive fields",
    "recon.report": "pages, tables, pictures",
    "recon.encoders": "forward models: movie (and behavior) to rates",
    "recon.priors": "movie statistics: energies, denoisers, text",
}
"""Modules of the reference, with one line each; their submodules have pages of their own."""


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for documents."""
    write_pages(Path(app.confdir) / "reference" / "generated")
    return {"parallel_read_safe": True}


def write_pages(folder: Path) -> None:
    """Write the generated pages; an unchanged page keeps its time, so that a second build is short."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"python": python_page(), "command_line": command_page(), "names": names_page(), "rooms": rooms_page()}
    for name, text in pages.items():
        file = folder / f"{name}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def python_page() -> str:
    """Return the page of the names in `recon.__all__`."""
    names = [name for name in getattr(recon, "__all__", ()) if not name.startswith("_")]
    parts = ["# Python", "`import recon` loads no torch; each name is imported at its first use.\n"]
    parts += [_directive(f"recon.{name}", getattr(recon, name)) for name in names]
    return "\n".join(parts)


def _directive(path: str, item: object) -> str:
    kind = "autoclass" if inspect.isclass(item) else "autofunction" if callable(item) else "autodata"
    return f"## {path}\n\n```{{eval-rst}}\n.. {kind}:: {path}\n```\n"


def command_page() -> str:
    """Return the page of all commands: the help of each."""
    top = parser()
    parts = ["# Command line", "`recon COMMAND --help` prints these texts.\n"]
    for name, command in _commands(top):
        help_text = _help(command)
        parts.append(f"{'##' if name.count(' ') == 1 else '###'} {name}\n\n```text\n{help_text}\n```\n")
    return "\n".join(parts)


def _commands(parent: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each command and verb below a parser, by its full name, in the order of the help."""
    for action in parent._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                yield child.prog, child
                yield from _commands(child)


def _help(command: argparse.ArgumentParser) -> str:
    """Return the help of a command in 80 columns, whatever the terminal."""
    command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=80)
    return command.format_help().strip()


def names_page() -> str:
    """Return the page of what a configuration can name: the registries, one table each."""
    parts = ["# Names in configurations", "`recon list` prints these tables.\n"]
    for kind, entries in groupby(listing(), key=lambda entry: entry[0]):
        parts.append(f"## {kind}\n\n| name | meaning |\n|---|---|")
        parts += [f"| `{name}` | {_cell(about)} |" for _, name, about in entries]
        parts.append("")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("[", "\\[").replace("*", "\\*")


def rooms_page() -> str:
    """Return the page of the modules, with their submodules by autosummary."""
    parts = ["# Rooms", "Every module of the package, from its docstrings.\n", "| room | content |", "|---|---|"]
    parts += [f"| `{name}` | {about} |" for name, about in ROOMS.items()]
    listed = "\n".join(f"   {name}" for name in ROOMS if import_module(name))
    tree = ".. autosummary::\n   :toctree: modules\n   :recursive:\n   :template: module.rst\n\n"
    parts.append(f"\n```{{eval-rst}}\n{tree}{listed}\n```\n")
    return "\n".join(parts)
