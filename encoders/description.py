"""Description of a torch module beside its weights: classes and plain attributes, such as a kernel size or a gain."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from types import FunctionType

import numpy as np
import torch
from torch import Tensor, nn

from recon.files import digest

OF_TORCH = frozenset(dir(nn.Module()))
"""Attributes of every torch module."""


def description(module: nn.Module, *beside: object) -> str:
    """Return 16 hexadecimal digits: classes and attributes of a module and all modules inside it; not its weights.

    `beside`: further values that count. Functions and objects of unknown classes count by their names only.
    """
    kept = set(module.state_dict())
    others = [(name, value) for name, value in module.named_buffers() if name not in kept]
    parts = [(name, _qualified(type(part)), _attributes(part)) for name, part in module.named_modules()]
    return digest([_plain(beside), _plain(others), parts])


def _attributes(part: nn.Module) -> list[object]:
    return [(name, _plain(value)) for name, value in sorted(vars(part).items()) if name not in OF_TORCH]


def _plain(value: object) -> object:
    """Return a value as JSON that is the same in every process."""
    if isinstance(value, Mapping):
        return [(str(key), _plain(item)) for key, item in value.items()]
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Set):
        return sorted(str(_plain(item)) for item in value)
    if isinstance(value, nn.Module | type | FunctionType):
        return _qualified(value if isinstance(value, type | FunctionType) else type(value))
    if is_dataclass(value):
        return [_qualified(type(value)), *((field.name, _plain(getattr(value, field.name))) for field in fields(value))]
    if isinstance(value, Tensor):
        held = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return [str(value.dtype), list(value.shape), hashlib.sha256(held.tobytes()).hexdigest()]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    named = value is None or isinstance(value, bool | int | float | complex | str | bytes | PurePath | torch.dtype)
    return repr(value) if named or isinstance(value, np.generic) else _qualified(type(value))


def _qualified(thing: type | FunctionType) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
