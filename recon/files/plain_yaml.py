"""YAML as its version 1.2 reads it, and JSON as JSON: the one place where either becomes plain values.

Version 1.1, which PyYAML reads, takes `no`, `off` and `yes` for truth values, `010` for eight, `1:30` for ninety,
`2023_01` for a number and `2023-01-01` for a date, and leaves `1e-05` a text. Here names stay text and numbers are
numbers; leading zeros and underscores make a text, because the versions disagree on them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MALFORMED = (yaml.YAMLError, ValueError, TypeError, RecursionError)
"""Raised for a text that cannot be read, beside OSError for a file."""
WORDS = {"true": True, "yes": True, "on": True, "y": True, "false": False, "no": False, "off": False, "n": False}
"""Truth values by the words for them, where one is expected."""
FLOW = ("[", "{", '"', "'")
"""First characters of a list, a mapping or a quoted text; an override that begins otherwise is taken as it stands."""
EXPANDED = 10_000
"""Values that aliases may multiply to; a text without aliases holds any number."""
TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"
SCALARS = (
    ("null", "~nN", r"~|null|Null|NULL|"),
    ("bool", "tTfF", r"true|True|TRUE|false|False|FALSE"),
    ("int", "-+0123456789", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+"),
    (
        "float",
        "-+.0123456789",
        r"[-+]?(?:(?:0|[1-9][0-9]*)?\.[0-9]+|(?:0|[1-9][0-9]*)\.)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?(?:0|[1-9][0-9]*)[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    ),
    ("merge", "<", r"<<"),
)
"""Kinds of plain scalars, the characters that they begin with, and their spellings; all others are text."""


def read_plain(path: Path) -> Any:
    """Return the plain values of a file in UTF-8: JSON if it is named so, else YAML; an empty YAML file gives None."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix.lower() == ".json" else parse(text)


def parse(text: str) -> Any:
    """Return the plain values of a YAML text; raises one of `MALFORMED`.

    >>> parse("{tier: no, rate: 1e-05, mouse: 010, day: 2023-01-01, shown: true, left: }")
    {'tier': 'no', 'rate': 1e-05, 'mouse': '010', 'day': '2023-01-01', 'shown': True, 'left': None}
    """
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def parse_argument(text: str) -> Any:
    """Return the value of an argument `key=value`: a list, a mapping or a quoted text as YAML; a number, true, false or
    null; anything else is text as it stands, `#`, `: ` and spaces included.

    >>> parse_argument("/data/mouse #3"), parse_argument("a: b"), parse_argument("[1e-3, no]"), parse_argument(" 4")
    ('/data/mouse #3', 'a: b', [0.001, 'no'], 4)
    """
    bare = text.strip()
    if bare.startswith(FLOW):
        return parse(bare)
    plain = any(re.fullmatch(spelling, bare) for kind, _, spelling in SCALARS if kind != "merge")
    return parse(bare) if plain else text


def truth(value: object) -> bool:
    """Return what a value means where a truth value is expected, also by its words.

    >>> truth("no"), truth(None), truth("on"), truth(True)
    (False, False, True, True)
    """
    return WORDS.get(value.lower(), bool(value)) if isinstance(value, str) else bool(value)


def _check(root: Any) -> None:
    """Refuse a key that comes twice, aliases that contain themselves, and those that multiply to very many values."""
    sizes: dict[int, int] = {}
    inside: set[int] = set()

    def size(node: Any) -> int:
        if id(node) in inside:
            raise yaml.constructor.ConstructorError(None, None, "found an alias of what contains it", node.start_mark)
        if id(node) not in sizes:
            inside.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
            inside.discard(id(node))
        return sizes[id(node)]

    if size(root) > max(EXPANDED, 2 * len(sizes)):
        raise yaml.constructor.ConstructorError(None, None, "found aliases that multiply", root.start_mark)


def _children(node: Any) -> Iterator[Any]:
    """Yield the values in a list, and the keys and values of a mapping, whose keys are checked."""
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        keys = Counter(key.value for key, _ in node.value if key.tag == f"{TAG}str")
        if twice := [key for key, count in keys.items() if count > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"found the key {twice[0]} twice", node.start_mark)
        yield from (part for pair in node.value for part in pair)


def _merge(loader: Any, node: Any) -> None:
    """Replace `<<` in a mapping by the pairs of the mappings that it names; later pairs win, the mapping's own most.

    PyYAML 6.0.4 lets the base of a base win over what overrides it.
    """
    named = [value for key, value in node.value if key.tag == MERGE]
    bases = [base for value in named for base in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
    for base in bases:
        if not isinstance(base, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping to merge", base.start_mark)
        loader.flatten_mapping(base)
    own = [pair for pair in node.value if pair[0].tag != MERGE]
    node.value = [pair for base in reversed(bases) for pair in base.value] + own


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return the kinds of plain scalars by first character, as PyYAML looks them up; "" is that of an empty one."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, first, spelling in SCALARS:
        for character in (*first, *([""] if kind == "null" else [])):
            found.setdefault(character, []).append((f"{TAG}{kind}", re.compile(rf"(?:{spelling})\Z")))
    return found


BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LOADER: Any = type("Loader", (BASE,), {"yaml_implicit_resolvers": _resolvers(), "flatten_mapping": _merge})
