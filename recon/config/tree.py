"""Configuration trees: the one place where interpolations are resolved, and the reading of a study's best settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse
from omegaconf.grammar_visitor import OmegaConfGrammarParser
from pydantic import Field, TypeAdapter, ValidationError

from recon.errors import InputError
from recon.files.plain_yaml import MALFORMED as UNREADABLE
from recon.files.plain_yaml import parse_argument, read_plain

Tree = Mapping[str, Any]

OPENING = "${"
"""Opens an interpolation. No tree contains it once it is resolved, so that nothing is ever resolved twice."""
LONGEST_QUOTE = 80
"""Characters of an offending value in an error message."""
MALFORMED = (*UNREADABLE, OmegaConfBaseException, LookupError, OSError)
"""Raised by YAML and OmegaConf for a file, an interpolation or a key that they cannot read."""


@dataclass(frozen=True)
class _Best:
    settings: dict[str, Any]
    iterations: int
    sigma: list[float]


@dataclass(frozen=True)
class _SearchedRow:
    method: dict[str, Any]


@dataclass(frozen=True)
class _Searched:
    rows: Annotated[list[_SearchedRow], Field(min_length=1)]


@dataclass(frozen=True)
class _Study:
    config: _Searched
    iterations: list[int]
    best: _Best


def read_yaml(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return a YAML or JSON file as plain mappings and lists with overrides applied and interpolations resolved."""
    with _as_input_errors(f"{path}: expected valid YAML", "correct the file"):
        tree = read_plain(path)
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected `key: value` lines, got {type(tree).__name__}; see configs/demo.yaml")
    resolved: dict[str, Any] = overridden(tree, overrides, where=str(path))
    return resolved


def overridden(tree: Any, overrides: Sequence[str], *, where: str = "configuration") -> Any:
    """Return a tree as plain mappings and lists with overrides applied: `section.key=value`, `rows[0].seed=1`.

    A value is read as YAML only if it begins with a bracket or a quote: `recording=mice/a: b #3` is a path.

    Interpolations of the tree's own values (`${section.key}`) are resolved. Resolvers such as `${oc.env:…}` are
    refused: they would copy this machine's environment into a run that may be shared.
    """
    return _resolved(tree, [_override(text) for text in overrides], where)


def inert(value: Any, *, where: str = "configuration") -> Any:
    """Return a value of a resolved tree; raises InputError for text with an interpolation, escaped ones included.

    `recon rerun` reads the saved text again and would resolve it.
    """
    for text in _texts(value):
        if OPENING in text:
            raise InputError(
                f"{where}: expected no `{OPENING}` in a resolved value, which a rerun would resolve again, got "
                f"{_quoted(text)}; write it without"
            )
    return value


def tuned_method(study: Path) -> tuple[dict[str, Any], list[float]]:
    """Return the method of a study with its best settings and iterations, and the best smoothing (three widths)."""
    known = _study(study)
    best, where = known.best, str(study)
    tree = {"method": inert(known.config.rows[0].method, where=where)}
    method = _resolved(tree, list(inert(best.settings, where=where).items()), where)["method"]
    if not isinstance(method, dict):
        raise InputError(f"{where}: expected best settings of a method, got {best.settings}; restore the file")
    return method | ({"iterations": best.iterations} if known.iterations else {}), best.sigma


def merged(tree: Tree, changes: Tree) -> dict[str, Any]:
    """Return a tree with changes; mappings are merged, other values replaced.

    >>> merged({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    inner = {
        key: merged(tree[key], value)
        for key, value in changes.items()
        if isinstance(value, Mapping) and isinstance(tree.get(key), Mapping)
    }
    return {**tree, **changes, **inner}


def _resolved(tree: Any, changes: Sequence[tuple[str, Any]], where: str) -> Any:
    # OmegaConf's resolvers are registered for the whole process, and other code may rely on them. They stay
    # registered; every value is parsed by OmegaConf's own grammar and refused before anything can be evaluated.
    with _as_input_errors(f"{where}: expected keys, values and interpolations of YAML", "correct them"):
        changed = OmegaConf.create(tree)
        for text in _texts([OmegaConf.to_container(changed, resolve=False), list(changes)]):
            _check_interpolations(text, where)
        for key, value in changes:
            OmegaConf.update(changed, key, value, force_add=True, merge=False)
        resolved = OmegaConf.to_container(changed, resolve=True)
    return inert(resolved, where=where)


def _check_interpolations(text: str, where: str) -> None:
    """Refuse every interpolation but that of a node, at any depth of the grammar's tree."""
    waiting: list[Any] = [parse(text)] if OPENING in text else []
    while waiting:
        node = waiting.pop()
        children = [node.getChild(place) for place in range(node.getChildCount())]
        interpolation = isinstance(node, OmegaConfGrammarParser.InterpolationContext)
        if interpolation and not isinstance(children[0], OmegaConfGrammarParser.InterpolationNodeContext):
            raise InputError(
                f"{where}: expected ${{section.key}} at most, got {_quoted(node.getText())}; write the value itself"
            )
        waiting += children


def _texts(value: Any) -> Iterator[str]:
    """Yield all text of a tree, keys included."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item


def _override(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InputError(f"override: expected section.key=value, got {text!r}; write for example clips.count=4")
    remedy = f"correct it; a text that begins so is quoted twice: '{key}=\"[old] mouse\"'"
    with _as_input_errors(f"override: expected a list, a mapping or a quoted text in YAML after {key}=", remedy):
        return key, parse_argument(value)


def _study(path: Path) -> _Study:
    try:
        return TypeAdapter(_Study).validate_json(path.read_bytes(), strict=True)
    except (ValidationError, OSError) as error:
        raise InputError(
            f"{path}: expected a study of `recon tune` with its best settings, got {_fault(error)}; restore the file, "
            "or run `recon tune` anew"
        ) from error


def _fault(error: ValidationError | OSError) -> str:
    if isinstance(error, OSError):
        return str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return _one_line(f"{place}: {first['msg']}" if place else first["msg"])


@contextmanager
def _as_input_errors(expected: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except MALFORMED as error:
        said = "values nested too deep" if isinstance(error, RecursionError) else _one_line(str(error))
        raise InputError(f"{expected}, got: {said}; {remedy}") from error


def _quoted(text: str) -> str:
    text = _one_line(text)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"


def _one_line(text: str) -> str:
    return " ".join(text.split())
