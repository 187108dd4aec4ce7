"""Version of the code behind a result."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from recon.files import digest

SOURCE = Path(__file__).resolve().parent.parent


PACKAGES = ("recon", "encoders", "priors")


@cache
def code_version(*modules: str) -> str:
    """Return a hash of the source of modules and of all that they import from this project.

    It is looked at once in a process, which goes on with the code that it has read.
    """
    files = sorted(_closure(modules))
    return digest([(str(file.relative_to(SOURCE)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files])


def _closure(modules: Iterable[str]) -> set[Path]:
    found: set[Path] = set()
    waiting = list(filter(None, map(_source, modules)))
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(_imports(current))
    return found


@cache
def _imports(file: Path) -> tuple[Path, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(filter(None, map(_source, names)))


def _source(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return None
    path = SOURCE.joinpath(*parts)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
