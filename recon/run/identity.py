"""Identity of a run: hashes of its method, problem, seed and code, by which a checkpoint knows its own run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor, nn

from recon.encoders.base import Encoder
from recon.encoders.identity import state_hash, weights_hash
from recon.encoders.runtime.devices import original
from recon.files.code_version import code_version, modules_of, parts_of
from recon.files.own_code import is_own, names_of
from recon.problem.problem import Problem

ENGINE = ("recon.run.runner", "recon.problem.problem")
"""Modules on which every run depends."""


def identity(method: object, problem: Problem, seed: int) -> dict[str, str]:
    """Return hashes of a run's method, problem and code, and its seed.

    The problem counts with responses, behavior, masks, captions, fidelity, and Spec and weights of its encoders; how it
    is spread over memory and devices does not count.
    """
    asked, answered = _Content(), _Content()
    answered.add(method)
    asked.add([problem.fidelity, problem.size, problem.update_mask, problem.captions])
    for seen in problem.observations:
        encoder = original(seen.encoder)
        asked.add([state_hash(encoder), seen.measurement, seen.weight, seen.fidelity, seen.animal])
        asked.modules |= modules_of(encoder)
    modules = sorted({*asked.modules, *answered.modules, *ENGINE})
    return {
        "method": answered.digest,
        "problem": asked.digest,
        "seed": str(seed),
        "code": code_version(*modules),
    }


def own_content(records: Sequence[object]) -> str:
    """Return a hash of records with a class from outside this project: their text may leave fields out; else empty."""
    if not any(is_own(type(part).__module__) for record in records for part in parts_of(record)):
        return ""
    content = _Content()
    content.add(list(records))
    return content.digest


@dataclass
class _Content:
    """A hash of values, however deep they are nested, and the modules that define the records among them."""

    hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    modules: set[str] = field(default_factory=set)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return self.hash.hexdigest()[:16]

    def add(self, value: object) -> None:
        """Add a value: content of tensors, names of files, and for records their type and fields."""
        if isinstance(value, Tensor):
            self._write(str(value.dtype), str(tuple(value.shape)))
            self.hash.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, nn.Module):
            self._named(value)
            self._write(state_hash(value) if isinstance(value, Encoder) else weights_hash(value))
        elif isinstance(value, Path):
            self._write(value.name)
        elif is_dataclass(value) and not isinstance(value, type):
            self._named(value)
            self._all((entry.name, getattr(value, entry.name)) for entry in fields(value))
        elif isinstance(value, Mapping):
            self._all(value.items())
        elif isinstance(value, tuple | list):
            self._all(enumerate(value))
        else:
            self._other(value)

    def _all(self, entries: Iterable[tuple[object, object]]) -> None:
        for name, value in entries:
            self._write("[", repr(name))
            self.add(value)
        self._write("]")

    def _other(self, value: object) -> None:
        """Add a plain value by its repr; functions and objects whose repr is an address by name and attributes."""
        if isinstance(value, FunctionType):
            self.modules |= names_of(value)
            self._write(value.__module__, value.__qualname__)
        elif type(value).__repr__ is object.__repr__:
            self._named(value)
            self._all(sorted(getattr(value, "__dict__", {}).items()))
        else:
            self._write(repr(value))

    def _named(self, value: object) -> None:
        self.modules |= names_of(type(value))
        self._write(type(value).__module__, type(value).__qualname__)

    def _write(self, *words: str) -> None:
        self.hash.update("\0".join(words).encode() + b"\0")
