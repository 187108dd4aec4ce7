"""Sphinx extension: pages of the reference that are generated, from names, parsers, registries and modules."""

from __future__ import annotations

import argparse
import inspect
import pkgutil
import re
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
"""Rooms of the reference with one line each: a page for each, with all modules below it."""


NOTEBOOK = re.compile(r"\[([^\]]+)\]\((?:\.\./)+notebooks/(\w+)\.ipynb\)")
ROW = re.compile(r"^\|.*\|$", re.M)
MINUS = re.compile(r"(?<=[ \[])-(?=[\d.])")
INTERVAL = re.compile(r"\[([-+−]?[\d.]+), ([-+−]?[\d.]+)\]")


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for documents."""
    write_pages(Path(app.confdir) / "reference" / "generated")
    app.connect("source-read", written)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", plain)
    return {"parallel_read_safe": True}


def written(app: Any, docname: str, source: list[str]) -> None:
    """Links to notebooks, which are right on disk, become links to their pages; in tables an interval is one word."""
    if docname.startswith("notebooks/"):
        return
    text = NOTEBOOK.sub(r"{doc}`\1 </notebooks/\2>`", source[0])
    source[0] = ROW.sub(lambda row: INTERVAL.sub("[\\1,\N{NO-BREAK SPACE}\\2]", MINUS.sub("−", row[0])), text)


def plain(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code`: everything that reStructuredText would take for markup is escaped."""
    paragraphs = "\n".join(lines).split("\n\n")
    lines[:] = "\n\n".join(text if ">>>" in text else escaped(text) for text in paragraphs).split("\n")


def escaped(text: str) -> str:
    """Return a paragraph with its code as literals, **bold** as it is, and no other markup."""
    parts = re.split(r"(`+[^`]*`+|\*\*\w[^*]*\*\*)", text)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = f"``{part.strip('`')}``" if part.startswith("`") else part
        else:
            parts[place] = re.sub(r"(?<!\\)([|]|(?<=\S)\*|\*(?=\S)|(?<=\w)_(?!\w))", r"\\\1", part)
    return "".join(parts)


def write_pages(folder: Path) -> None:
    """Write the generated pages; an unchanged page keeps its time, so that a second build is short."""
    pages = {"python": python_page(), "command_line": command_page(), "names": names_page()}
    pages |= {f"rooms/{name}": room_page(name) for name in ROOMS}
    for name, text in pages.items():
        file = folder / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def python_page() -> str:
    """Return the page of the public names of `recon`."""
    public = getattr(recon, "__all__", None) or getattr(recon, "PUBLIC", ())
    names = [name for name in public if not name.startswith("_") and not inspect.ismodule(getattr(recon, name))]
    parts = ["# Python", "`import recon` loads no torch; each name is imported at its first use.\n"]
    return "\n".join([*parts, *(_name(name, getattr(recon, name)) for name in names)])


def _name(name: str, item: object) -> str:
    """Return the section of a name; what is defined in a room has its entry in the index there."""
    kind = "autoclass" if inspect.isclass(item) else "autofunction" if callable(item) else "autodata"
    own = getattr(item, "__module__", "").startswith("recon.api")
    options = ["   :members:"] * inspect.isclass(item) + ["   :no-index:"] * (not own)
    return _rst(f"## {name}", "\n".join([f".. {kind}:: recon.{name}", *options]))


def _rst(heading: str, text: str) -> str:
    return f"{heading}\n\n```{{eval-rst}}\n{text}\n```\n"


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


def room_page(name: str) -> str:
    """Return the page of a package or module: itself and all modules below it, by their docstrings."""
    module = import_module(name)
    below = pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}.")
    parts = [f"# {name}", f"{ROOMS[name].capitalize()}.\n", _module(name)]
    return "\n".join([*parts, *(_module(found.name) for found in below)])


def _module(name: str) -> str:
    return _rst(f"## {name}", f".. automodule:: {name}\n   :members:\n   :ignore-module-all:")
