"""What a user asks for, as objects: a method by preset, configuration or object, with its text; frames; neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

from recon import config
from recon.errors import InputError
from recon.methods.base import Method
from recon.methods.text.sources import Typed
from recon.priors.prior import Prior
from recon.problem.fidelities.base import Likelihood
from recon.study.settings import Frames, Neurons

MethodLike = str | Method | Mapping[str, Any]
"""A preset's name, a method object, or a configuration."""
FidelityLike = str | Likelihood | Mapping[str, Any]
"""A fidelity's name, an object, or a configuration."""
FRAMES, NEURONS = Frames(), Neurons()


class Asked(NamedTuple):
    """A method and the label of its results."""

    label: str
    method: Method


def method_of(method: MethodLike, *, label: str = "", text: str | None = None) -> Asked:
    """Return the method of a preset, a configuration or an object; `text` becomes the text of its prior.

    >>> method_of("map_spectrum").label, method_of({"preset": "map_spectrum", "iterations": 3}).method.iterations
    ('map_spectrum', 3)
    """
    if isinstance(method, Method):
        name, made = type(method).__name__, method
    else:
        tree = {"preset": method} if isinstance(method, str) else method
        settings = config.expand(tree)
        name, made = str(tree.get("preset", settings.get("name"))), config.build("method", settings)
    return Asked(label or name, made if text is None else with_text(made, text))


def with_text(method: Method, text: str) -> Method:
    """Return a method whose prior is told `text`; raises InputError for a method without such a prior."""
    told = _told(method, Typed(text))
    if told is method or not isinstance(told, Method):
        raise InputError(
            f"text: expected a method with a prior that takes text, such as refined, got {type(method).__name__}; "
            "leave text out, or choose another method"
        )
    return told


def _told(part: Any, text: Typed) -> Any:
    """Return a record with the text in every prior inside it that takes one; itself if there is none."""
    if isinstance(part, Mapping):
        changed = _changed(part, text)
        return {**part, **changed} if changed else part
    if not is_dataclass(part) or isinstance(part, type):
        return part
    takes = isinstance(part, Prior) and part.takes_text
    inner = {entry.name: getattr(part, entry.name) for entry in fields(part) if entry.init}
    changed = {"text": text} if takes else _changed(inner, text)
    return replace(part, **changed) if changed else part


def _changed(parts: Mapping[str, Any], text: Typed) -> dict[str, Any]:
    told = {name: _told(value, text) for name, value in parts.items()}
    return {name: value for name, value in told.items() if value is not parts[name]}


def fidelity_of(fidelity: FidelityLike) -> Likelihood | Mapping[str, Any]:
    """Return a fidelity for a row: an object as it is, a name as its settings."""
    if isinstance(fidelity, Likelihood):
        return fidelity
    tree: Mapping[str, Any] = {"name": fidelity} if isinstance(fidelity, str) else config.expand(fidelity)
    return tree


def frames_of(frames: Frames | tuple[int, int]) -> Frames:
    """Return the unscored frames at the start and the end of clips."""
    return frames if isinstance(frames, Frames) else Frames(*frames)


def neurons_of(neurons: Neurons | tuple[float, float]) -> Neurons:
    """Return the fractions of *selection* and *report* neurons."""
    return neurons if isinstance(neurons, Neurons) else Neurons(*neurons)
