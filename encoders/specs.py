"""Checks of a Spec that a user wrote: types, ranges, behavior channels, unit of the rates."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from recon.encoders.base import BEHAVIOR_CHANNELS, Spec
from recon.errors import InputError, did_you_mean
from recon.files.weights import from_mapping

TRANSFORMS = ("raw", "divided by std")
"""Units of rates; see `Spec.response_transform`."""


def checked_spec(spec: object) -> Spec:
    """Return a Spec with plain tuples of its sizes and ids; raises InputError, naming the field, where it is wrong.

    >>> checked_spec(Spec([9, 12], range(3))).neuron_ids
    (0, 1, 2)
    """
    if not isinstance(spec, Spec):
        got = f"the class {spec.__name__}" if isinstance(spec, type) else type(spec).__name__
        raise InputError(f"spec: expected a Spec, got {got}; write Spec(frame_size=(36, 64), neuron_ids=...)")
    if isinstance(spec.behavior, str):
        raise InputError(f"spec.behavior: expected a tuple of names, got a text; write ({spec.behavior!r},)")
    sizes = {name: _whole(getattr(spec, name), name) for name in ("frame_size", "neuron_ids", "context")}
    checked = from_mapping(Spec, {**asdict(spec), **sizes}, where="spec")
    _check_ids(checked.neuron_ids)
    _check_names(checked.behavior, BEHAVIOR_CHANNELS, "behavior")
    if len(checked.behavior_means) not in (0, len(checked.behavior)):
        raise InputError(
            f"spec.behavior_means: expected none, or one for each of {len(checked.behavior)} channels, got "
            f"{len(checked.behavior_means)}; complete them"
        )
    _check_names((checked.response_transform,), TRANSFORMS, "response_transform")
    return checked


def _whole(values: Iterable[Any], name: str) -> tuple[int, ...]:
    """Return whole numbers, NumPy's and torch's included, as plain ones."""
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError as error:
        wanted = "unit ids" if name == "neuron_ids" else "two whole numbers"
        raise InputError(f"spec.{name}: expected {wanted}, got {values!r}; write a tuple of whole numbers") from error


def _check_ids(neuron_ids: tuple[int, ...]) -> None:
    if not neuron_ids:
        raise InputError("spec.neuron_ids: expected at least one unit id, got none; list those of the module's outputs")
    if len(set(neuron_ids)) < len(neuron_ids):
        twice = next(unit for unit in neuron_ids if neuron_ids.count(unit) > 1)
        raise InputError(f"spec.neuron_ids: expected each unit id once, got {twice} twice; correct the list")


def _check_names(names: tuple[str, ...], known: tuple[str, ...], field: str) -> None:
    for name in names:
        if name not in known:
            raise InputError(
                f"spec.{field}: expected {' or '.join(map(repr, known))}, got {name!r}{did_you_mean(name, known)}; "
                "correct it"
            )
