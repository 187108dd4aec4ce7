"""Syntax of source text: its behaviour without comments, docstrings and layout, and what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from importlib.util import resolve_name

from recon.files import digest


def behaviour(tree: ast.AST) -> str:
    """Return a hash of a syntax tree without comments, docstrings and layout.

    >>> behaviour(ast.parse("x = 1  # one")) == behaviour(ast.parse("x = (1)"))
    True
    """
    parts: list[str] = []
    _write(tree, parts)
    return digest("".join(parts))


def imported(nodes: Iterable[ast.AST], inside: str) -> Iterator[tuple[str, str, str]]:
    """Yield (module, name, own name) of each import in a package; the names are empty for a whole module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), inside)
            yield from ((base, alias.name, alias.asname or alias.name) for alias in node.names)


def _write(node: object, parts: list[str]) -> None:
    """Append a syntax tree as text that is the same in every version of Python."""
    if isinstance(node, ast.AST):
        parts.append(f"{type(node).__name__}(")
        for name, value in ast.iter_fields(_plain(node)):
            if value is not None and value != [] and name not in ("ctx", "kind"):
                parts.append(f"{name}=")
                _write(value, parts)
        parts.append(")")
    elif isinstance(node, list):
        parts.append("[")
        for item in node:
            if not _idle(item):
                _write(item, parts)
        parts.append("]")
    else:
        # ASCII, because Python's table of printable characters grows.
        parts.append(f"{node!a},")


def _plain(node: ast.AST) -> ast.AST:
    """Return an f-string without the empty parts that Python 3.12 adds; any other node as it is."""
    if not isinstance(node, ast.JoinedStr):
        return node
    return ast.JoinedStr([part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")])


def _idle(node: object) -> bool:
    """True for statements without effect: `pass`, docstrings, strings that document a field."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
