"""Python objects in configurations: accepted where a name is, and written as the settings that build them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from recon.errors import InputError

Registry = Mapping[str, Callable[..., Any]]

OBJECT = "object"
"""Key of a Python object in a saved configuration, which no file can hold."""
HELD = "\0object "
PLAIN = (str, int, float, bool, type(None))


class _NotInWordsError(Exception):
    """An object that no settings of a configuration build."""


def is_object(value: object, *kinds: type[Any]) -> bool:
    """True for what no YAML file holds: no text, number, list or mapping; with `kinds`, for one of these types.

    >>> is_object({"name": "mean"}), is_object(object())
    (False, True)
    """
    return not isinstance(value, (*PLAIN, Path, Mapping, list, tuple)) and isinstance(value, kinds or object)


def in_words(value: object, known: Mapping[type[Any], Registry], build: Callable[[Registry, Any, str], Any]) -> Any:
    """Return the settings that build an object, so that it is treated as YAML; the object itself where none do."""
    tree = described(value, known)
    registry = next((one for kind, one in known.items() if isinstance(value, kind)), {})
    try:
        return tree if tree is not None and build(registry, tree, OBJECT) == value else value
    except InputError:
        return value


def described(value: object, known: Mapping[type[Any], Registry]) -> dict[str, Any] | None:
    """Return the settings of an object of a registered class: its name and the fields that differ from their defaults.

    None for other objects, and for those with fields that only Python sets.
    """
    if not registered(value, known):
        return None
    try:
        return _settings(value, known)
    except _NotInWordsError:
        return None


def inscribed(tree: Any, known: Mapping[type[Any], Registry]) -> Any:
    """Return a tree for a file: objects as settings that build them, others as `object: module.Class` and fields."""
    if isinstance(tree, Mapping):
        return {key: inscribed(value, known) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [inscribed(value, known) for value in tree]
    if not is_object(tree):
        return tree
    parts = {}
    if is_dataclass(tree) and not isinstance(tree, type):
        parts = {field.name: inscribed(getattr(tree, field.name), known) for field in fields(tree)}
    if parts and not isinstance(tree, tuple(known)):
        return parts
    named = {OBJECT: f"{type(tree).__module__}.{type(tree).__qualname__}"}
    return described(tree, known) or named | parts


def set_aside(tree: Any, held: list[Any]) -> Any:
    """Return a tree without its objects, each replaced by a text that no YAML holds; `held` collects them."""
    if isinstance(tree, Mapping):
        return {key: set_aside(value, held) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [set_aside(value, held) for value in tree]
    if not is_object(tree):
        return tree
    held.append(tree)
    return f"{HELD}{len(held) - 1}"


def put_back(tree: Any, held: list[Any]) -> Any:
    """Return a tree with the objects that `set_aside` took out."""
    if isinstance(tree, Mapping):
        return {key: put_back(value, held) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [put_back(value, held) for value in tree]
    return held[int(tree.removeprefix(HELD))] if isinstance(tree, str) and tree.startswith(HELD) else tree


def registered(value: object, known: Mapping[type[Any], Registry]) -> str:
    """Return the name of an object's class in the registries; empty for a class of somebody else."""
    names = (name for registry in known.values() for name, entry in registry.items() if entry is type(value))
    return next(names, "")


def check_object(value: object, kinds: tuple[type[Any], ...], *, where: str) -> None:
    """Raise InputError for an object that is none of these kinds, naming what it lacks."""
    if isinstance(value, type):
        raise InputError(f"{where}: expected an object, got the class {value.__name__}; call it: {value.__name__}(…)")
    if isinstance(value, kinds):
        return
    titles = " or ".join(dict.fromkeys(kind.__name__ for kind in kinds))
    wanted = {name for kind in kinds for name in (*inspect.get_annotations(kind), *vars(kind)) if name[0] != "_"}
    lacking = sorted(name for name in wanted - {*dir(value)} if name not in vars(object))
    without = f" without {', '.join(lacking)}" if lacking else ""
    raise InputError(
        f"{where}: expected a name, its settings or a {titles}, got {type(value).__name__}{without}; see {titles} in "
        f"{kinds[0].__module__}"
    )


def refuse_inscribed(tree: Mapping[str, Any], *, where: str) -> None:
    """Raise InputError for a Python object of a saved configuration: no file can hold it."""
    if OBJECT in tree and "name" not in tree:
        raise InputError(
            f"{where}: expected a name, got the Python object {tree[OBJECT]}, which no file can hold; make the run "
            "again in Python"
        )


def _settings(value: object, known: Mapping[type[Any], Registry]) -> dict[str, Any]:
    if not is_dataclass(value) or isinstance(value, type):
        raise _NotInWordsError
    name = registered(value, known)
    changed = {field.name: getattr(value, field.name) for field in fields(value) if _changed(field, value)}
    if not all(field.init for field in fields(value) if field.name in changed):
        raise _NotInWordsError
    return ({"name": name} if name else {}) | {key: _worded(item, known) for key, item in changed.items()}


def _changed(field: Field[Any], record: object) -> bool:
    value = getattr(record, field.name)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is MISSING or type(value) is not type(default) or (value is not default and bool(value != default))


def _worded(value: Any, known: Mapping[type[Any], Registry]) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _worded(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_worded(item, known) for item in value]
    if any(isinstance(value, kind) for kind in known) and not registered(value, known):
        raise _NotInWordsError
    return _settings(value, known)
