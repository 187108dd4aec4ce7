"""A user's own module, written to a folder and imported: a method, what it uses, and changes of both."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

LAB = '''"""My lab's methods."""

from dataclasses import dataclass, field
from typing import Any

import torch

from recon.methods.facts import Sees
from recon.types import Iterate
from {helper} import shade


@dataclass(frozen=True)
class Grey:
    """A grey movie."""

    level: float = 0.5
    more: Any = None

    title = "grey"
    strength = None
    separable = True
    sees = Sees()

    def __call__(self, problem, generator, state=None):
        """Yield it once."""
        if not state:
            movie = torch.full(problem.shape, shade(self.level))
            yield Iterate(movie, {{"misfit": problem.energy(movie)}}, {{"done": torch.ones(1)}})
'''
HELPER = '''"""What the method uses."""


def shade(level):
    """Return a shade."""
    return level * 1.0
'''


def write(folder: Path, name: str, *, lab: tuple[str, str] = ("", ""), helper: tuple[str, str] = ("", "")) -> None:
    """Write the modules `name` and `name_helper`, each with one replacement."""
    (folder / f"{name}.py").write_text(LAB.format(helper=f"{name}_helper").replace(*lab))
    (folder / f"{name}_helper.py").write_text(HELPER.replace(*helper))


def imported(folder: Path, name: str) -> ModuleType:
    """Import the module `name` anew from a folder on the path."""
    for known in (name, f"{name}_helper"):
        sys.modules.pop(known, None)
    importlib.invalidate_caches()
    return importlib.import_module(name)
