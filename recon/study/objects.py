"""Python objects in place of names: whether a key can name what they compute."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FunctionType

from torch import Tensor, nn

from recon.config.objects import is_object
from recon.encoders.base import Encoder
from recon.encoders.wrap import Wrapped
from recon.errors import InputError
from recon.files.code_version import parts_of
from recon.files.own_code import MAIN, unknown

PLAIN = (str, int, float, bool, type(None), Path, Tensor, nn.Module)
"""Values of fields that count by their content."""


def unnamed(*parts: object) -> str:
    """Return why a key cannot name what methods, fidelities and encoders compute; empty where it can.

    A key names frozen dataclasses with plain fields and torch modules, whose classes have their source at hand.
    """
    found = (reason for part in parts for reason in _reasons(part))
    return next(found, "")


def check_portable(tree: object, lines: Sequence[str] = ()) -> None:
    """Raise InputError for Python objects that no other process can have: unnamed ones, and those of a script.

    `lines`: why rows are unnamed. Other processes import a class from its module, and must find the same source.
    """
    for value in _objects(tree):
        kinds = {type(part) for part in (value, *parts_of(value))}
        scripts = sorted(kind.__qualname__ for kind in kinds if kind.__module__ in MAIN)
        if scripts or lines:
            raise InputError(
                f"on: expected objects that other processes can import, got {lines[0] if lines else scripts[0]}; move "
                "the class to a module, or compute here"
            )
        try:
            pickle.dumps(value)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise InputError(
                f"on: expected objects that can be pickled for other processes, got {type(value).__qualname__}: "
                f"{error}; compute here"
            ) from error


def _objects(tree: object) -> Iterator[object]:
    if is_object(tree):
        yield tree
    elif isinstance(tree, Mapping | list | tuple):
        for value in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _objects(value)


def _reasons(part: object) -> Iterator[str]:
    yield from filter(None, (unknown(type(inner)) for inner in parts_of(part)))
    if isinstance(part, nn.Module):
        users = part.modules() if _is_users(part) else ()
        yield from (f"{type(inner).__name__} has hooks" for inner in users if _hooked(inner))
    else:
        yield from _value(part, type(part).__name__)


def _is_users(encoder: nn.Module) -> bool:
    """True for an encoder with modules of a user: wrapped, or of a class from outside this project."""
    found = (part for part in encoder.modules() if isinstance(part, Encoder))
    return any(isinstance(part, Wrapped) or not type(part).__module__.startswith("recon.") for part in found)


def _hooked(module: nn.Module) -> bool:
    known = vars(module)
    return any(known.get(name) for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"))


def _value(value: object, where: str) -> Iterator[str]:
    if isinstance(value, PLAIN):
        return
    if isinstance(value, Mapping):
        inner = [(key, item) for key, item in value.items()]
    elif isinstance(value, tuple | list):
        inner = list(enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (
            () if inspect.getattr_static(value, "__dataclass_params__").frozen else (f"{where} is no frozen dataclass",)
        )
        inner = [(field.name, getattr(value, field.name)) for field in fields(value)]
    elif isinstance(value, FunctionType) and not unknown(value) and "<lambda>" not in value.__qualname__:
        return
    else:
        yield f"{where} is {type(value).__name__}, neither plain nor a frozen dataclass"
        return
    for name, item in inner:
        yield from _value(item, f"{where}.{name}")
