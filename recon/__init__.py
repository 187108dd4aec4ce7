"""Reconstruct the movie an animal saw from the recorded activity of its visual cortex.

The names below are imported when they are first used; `import recon` alone loads no torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.api.ablate import PriorAblation as PriorAblation
    from recon.api.ablate import ablate as ablate
    from recon.api.arrays import from_arrays as from_arrays
    from recon.api.calibrate import CalibratedMethod as CalibratedMethod
    from recon.api.calibrate import calibrate as calibrate
    from recon.api.compare import compare as compare
    from recon.api.comparison import ComparisonTable as ComparisonTable
    from recon.api.encoder import load_encoder as load_encoder
    from recon.api.example import example as example
    from recon.api.reconstruct import reconstruct as reconstruct
    from recon.api.recording import ClipSet as ClipSet
    from recon.api.recording import OpenRecording as OpenRecording
    from recon.api.recording import open_recording as open_recording
    from recon.api.result import Result as Result
    from recon.encoders.base import Encoder as Encoder
    from recon.encoders.base import Spec as Spec
    from recon.encoders.wrap import wrap as wrap
    from recon.errors import InputError as InputError
    from recon.run.runner import Budget as Budget

# A file, not a constant: setup.cfg reads the same one, and a release must not change the identity of the code.
__version__ = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()

PUBLIC = {
    "Budget": "recon.run.runner",
    "CalibratedMethod": "recon.api.calibrate",
    "ClipSet": "recon.api.recording",
    "ComparisonTable": "recon.api.comparison",
    "Encoder": "recon.encoders.base",
    "InputError": "recon.errors",
    "OpenRecording": "recon.api.recording",
    "PriorAblation": "recon.api.ablate",
    "Result": "recon.api.result",
    "Spec": "recon.encoders.base",
    "ablate": "recon.api.ablate",
    "calibrate": "recon.api.calibrate",
    "compare": "recon.api.compare",
    "example": "recon.api.example",
    "from_arrays": "recon.api.arrays",
    "load_encoder": "recon.api.encoder",
    "open_recording": "recon.api.recording",
    "reconstruct": "recon.api.reconstruct",
    "wrap": "recon.encoders.wrap",
}
"""Public names and the modules that define them; `recon.methods`, a package, lists the presets when it is called."""


def __getattr__(name: str) -> Any:
    if name == "methods":
        return import_module("recon.methods")
    if name not in PUBLIC:
        raise AttributeError(f"module 'recon' has no attribute {name!r}; public names: methods, {', '.join(PUBLIC)}")
    value = getattr(import_module(PUBLIC[name]), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC, "methods"})


class _Methods(ModuleType):
    """The package `recon.methods`; called, it returns the presets."""

    def __call__(self) -> Any:
        return import_module("recon.api.catalogue").methods()


class _Package(ModuleType):
    """This package, which makes `recon.methods` callable when it is imported: no lower room knows the API."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "methods":
            value.__class__ = _Methods
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
