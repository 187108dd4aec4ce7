"""The text of a first configuration: YAML with comments."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from recon.study.draft import Draft

PLAIN = re.compile(r"[A-Za-z_/][\w./-]*")
"""Texts that YAML reads as they are."""
WORDS = ("true", "false", "null", "yes", "no", "on", "off")
COLUMNS = 120


def text_of(found: Draft, *, command: str) -> str:
    """Return the YAML file of a draft; `command` is the one that runs it."""
    return "\n".join(_lines(found, command)) + "\n"


def _lines(found: Draft, command: str) -> Iterator[str]:
    tree, facts = found.tree, found.facts
    yield f"# A first benchmark of {tree['recording']}, written by `recon init`: {facts['neurons']} neurons,"
    yield f"# {facts['movie']}; trials: {facts['trials']}."
    yield f"# {command}"
    yield f"run: {scalar(tree['run'])}"
    yield f"recording: {scalar(tree['recording'])}"
    yield f"# Clips to reconstruct: the first presentation of each video, {facts['clips']}."
    yield f"clips: {flow(tree['clips'])}"
    yield "# Unscored frames at the ends of a clip: the encoder lacks their history, or the responses to them."
    yield f"frames: {flow(tree['frames'])}"
    yield "encoders:"
    yield from (f"  {name}: {flow(encoder)}" for name, encoder in tree["encoders"].items())
    yield from _judge(tree)
    yield "# Clips that are optimised together: as many as fit into a quarter of the free memory."
    yield f"batch: {tree['batch']}"
    yield "rows:"
    yield from (f"  - {flow(row)}" for row in tree["rows"])
    if found.others:
        yield "  # These can run here too, see `recon list`; networks are trained first, for minutes to an hour."
        yield from (f"  # - {flow({'label': name, 'method': {'preset': name}})}" for name in found.others)
    if found.left_out:
        yield "  # These cannot run here:"
        yield from _wrapped(found.left_out)


def _judge(tree: Mapping[str, Any]) -> Iterator[str]:
    yield "# The judge, an encoder of another architecture, scores reconstructions that it had no part in."
    if "judge" in tree:
        yield f"judge: {flow(tree['judge'])}"
        return
    weights = "weights/judge.safetensors"
    command = ["recon", "train", "encoder", "train/own_judge", f"recording={tree['recording']}", f"output={weights}"]
    yield f"#   {shlex.join(command)}"
    yield f"# judge: {flow({'name': 'judge', 'weights': weights})}"


def _wrapped(reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield comments of at most 120 columns."""
    for reason, names in by_reason(reasons).items():
        told = f"{', '.join(names)}: {reason}"
        yield from (f"  #   {line}" for line in textwrap.wrap(told, COLUMNS - 6, break_long_words=False))


def by_reason(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names of rows that were left out, by the reason.

    >>> by_reason({"egg": "no prior", "dps": "no prior"})
    {'no prior': ['egg', 'dps']}
    """
    found: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        found.setdefault(reason, []).append(name)
    return found


def flow(value: Any) -> str:
    """Return a value as YAML in one line.

    >>> flow({"label": "map, wrong clip", "sigma": [1.0, 0.5]})
    '{label: "map, wrong clip", sigma: [1.0, 0.5]}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: object) -> str:
    """Return a plain value as YAML; a text is quoted where YAML would read it otherwise.

    >>> scalar("runs/mine"), scalar("no"), scalar("1:2"), scalar(0.5)
    ('runs/mine', '"no"', '"1:2"', '0.5')
    """
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
