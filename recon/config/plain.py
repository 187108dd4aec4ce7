"""Values without names of registries: validated strictly, mappings that are built later, members of tagged unions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import PydanticUserError, Tag, TypeAdapter, ValidationError

from recon.config.objects import check_object, is_object, put_back, set_aside
from recon.config.tree import Tree
from recon.errors import InputError
from recon.files.paths import user_path
from recon.files.plain_yaml import WORDS


def plain(annotation: Any, value: Any, where: str) -> Any:
    """Validate with pydantic's strict JSON mode: lists become tuples, strings paths, integers floats.

    Where a truth value is expected, its other words count too: `no`, `off`, `yes`. `~` in a path is the home folder.
    """
    if _takes_words(annotation) and isinstance(value, str):
        value = WORDS.get(value.lower(), value)
    try:
        text = json.dumps(value, default=str, allow_nan=False)
    except ValueError as error:  # no record takes infinity, and NaN would pass every comparison
        raise InputError(f"{where}: expected finite numbers, got {value!r}; correct this value") from error
    try:
        return _at_home(TypeAdapter(annotation).validate_json(text, strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        expected = first["msg"].replace("Input should be ", "").replace("a valid ", "")
        raise InputError(f"{where}{place}: expected {expected}, got {first['input']!r}; correct this value") from error
    except PydanticUserError as error:
        raise InputError(f"{where}: expected no value here, got {value!r}; only Python sets it: remove it") from error


def _takes_words(annotation: Any) -> bool:
    members = (annotation, *get_args(annotation))
    return bool in members and str not in members


def _at_home(value: Any) -> Any:
    """Return a validated value with `~` replaced in its paths."""
    if isinstance(value, Path):
        return user_path(value)
    if type(value) in (tuple, list):
        return type(value)(map(_at_home, value))
    return {key: _at_home(item) for key, item in value.items()} if isinstance(value, dict) else value


def tree_of(kinds: tuple[type[Any], ...], value: Any, where: str) -> Any:
    """Return a mapping that is built later, as plain as YAML but for its objects, or an object of one of the kinds."""
    if is_object(value):
        check_object(value, kinds or (Mapping,), where=where)
        return value
    held: list[Any] = []
    return put_back(plain(Tree, set_aside(value, held), where), held)


def tagged(member: Any) -> tuple[str, type[Any]]:
    """Return the tag and the record of a member of a tagged union."""
    record, *about = get_args(member)
    (tag,) = [note.tag for note in about if isinstance(note, Tag)]
    return tag, record
