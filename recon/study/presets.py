"""Presets: methods with their settings by name, each with its family, its sentence, what it sees and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from recon import config
from recon.config.tree import read_yaml
from recon.encoders.training.loop import Learning
from recon.errors import InputError, did_you_mean
from recon.methods.base import Method, passes_of
from recon.methods.facts import Passes, Sees
from recon.study.saw import Saw
from recon.study.seen import seen_by

FAMILIES = {
    "linear": "linear decoder",
    "neural": "network decoder",
    "optimise": "input optimisation",
    "diffusion": "diffusion",
}
"""Family of the methods of each package below `recon.methods`."""
SET_BY_FITTING = ("artefact", "members")
"""Fields of fitted methods, which no configuration sets."""


@dataclass(frozen=True)
class Setting:
    """A setting of a method: its dotted name in a configuration, its value, and the default or None where it has none.

    Inner methods and other parts that have a name of their own are shown by it, followed by their own settings.
    """

    name: str
    value: str
    default: str | None = None

    @property
    def changed(self) -> bool:
        """True where the value is not the default."""
        return self.value != self.default


@dataclass(frozen=True)
class Preset:
    """A method with its settings, named by `preset: NAME` in a configuration and by its name in Python.

    `tree` is its resolved configuration, `method` the method that it builds.
    """

    name: str
    about: str
    tree: Mapping[str, Any]
    method: Method

    @property
    def family(self) -> str:
        """Kind of the method, or of the one inside it: linear or network decoder, input optimisation, diffusion."""
        return family_of(self.method)

    @property
    def sees(self) -> Sees:
        """What decides the movie besides settings and seed."""
        return self.method.sees

    @property
    def seen(self) -> str:
        """What it sees, in words."""
        return seen_by(Saw((), self.sees))

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        return passes_of(self.method)

    @property
    def steps(self) -> int:
        """Steps of training networks on the recording before the first clip; 0 for shipped weights."""
        return training_steps(self.method)

    @property
    def cost(self) -> str:
        """Passes per clip and training steps, in words."""
        return cost_of(self.passes, self.steps)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """All settings, inner ones with dotted names."""
        return tuple(settings_of(self.method))

    def __str__(self) -> str:
        facts = [f"{self.name}: {self.about}", f"family: {self.family}", f"sees: {self.seen}", f"cost: {self.cost}"]
        return "\n".join(facts)


@cache
def presets() -> Mapping[str, Preset]:
    """Return the packaged presets by name."""
    folder = config.CONFIGS / "methods"
    return {path.stem: _read(path) for path in sorted(folder.glob("*.yaml"))}


def preset(name: str) -> Preset:
    """Return a packaged preset; raises InputError for an unknown name."""
    known = presets()
    if name not in known:
        raise InputError(f"preset: expected one of {', '.join(known)}{did_you_mean(name, known)}, got {name!r}")
    return known[name]


def _read(path: Path) -> Preset:
    tree = config.load(path)
    method: Method = config.build("method", tree, where=path.stem)
    return Preset(path.stem, str(read_yaml(path, ()).get(config.ABOUT, method.title)), tree, method)


def family_of(method: object) -> str:
    """Return the family of a method, that of the methods inside it for smoothing and means, "own" for another's.

    >>> from recon.methods import Ridge, Smoothed
    >>> family_of(Smoothed(Ridge()))
    'linear decoder'
    """
    package = type(method).__module__.removeprefix("recon.methods.").partition(".")[0]
    if package in FAMILIES:
        return FAMILIES[package]
    inner = dict.fromkeys(family_of(value) for value in _inside(method) if isinstance(value, Method))
    return " and ".join(inner) or "own"


def training_steps(method: object) -> int:
    """Return the steps of training networks that a method plans; none where it names trained weights."""
    if any(name == "weights" and isinstance(value, str) and value for name, value in _entries(method)):
        return 0
    return sum(value.steps if isinstance(value, Learning) else training_steps(value) for value in _inside(method))


def _entries(record: object) -> Iterator[tuple[str, object]]:
    if is_dataclass(record):
        yield from ((entry.name, getattr(record, entry.name)) for entry in fields(record))


def _inside(record: object) -> Iterator[object]:
    """Yield the values of a record, those of its mappings one by one."""
    for _, value in _entries(record):
        yield from value.values() if isinstance(value, Mapping) else (value,)


def cost_of(passes: Passes, steps: int = 0) -> str:
    """Return planned passes and training steps in words.

    >>> cost_of(Passes(40.0, 8.0))
    '40 encoder and 8 denoiser passes per clip'
    >>> cost_of(Passes(1.0), 2000)
    '1 encoder pass per clip, after 2000 steps of training'
    """
    counts = {name: count for name, count in (("encoder", passes.encoder), ("denoiser", passes.denoiser)) if count}
    named = " and ".join(f"{count:.0f} {name}" for name, count in counts.items()) or "no encoder"
    many = "pass" if list(counts.values()) == [1.0] else "passes"
    return f"{named} {many} per clip" + (f", after {steps} steps of training" if steps else "")


def settings_of(record: object, *, default: object = None, within: str = "") -> Iterator[Setting]:
    """Yield the settings of a record and of the records inside it; `default`: what the record is where nobody sets it.

    >>> from recon.methods import Smoothed, Mean
    >>> [(setting.name, setting.value) for setting in settings_of(Smoothed(Mean()))]
    [('method', 'mean'), ('sigma', '[0.5, 0.5, 0.5]')]
    """
    if not is_dataclass(record):
        return
    known = default if type(default) is type(record) else None
    for entry in fields(record):
        if entry.name not in SET_BY_FITTING:
            usual = _default(entry) if known is None else getattr(known, entry.name)
            yield from _settings(getattr(record, entry.name), usual, f"{within}{entry.name}")


def _settings(value: object, default: object, name: str) -> Iterator[Setting]:
    if isinstance(value, Mapping) and any(map(is_dataclass, value.values())):
        for key, inner in value.items():
            yield from _settings(inner, MISSING, f"{name}.{key}")
        return
    yield Setting(name, written(value), None if default is MISSING else written(default))
    yield from settings_of(value, default=default, within=f"{name}.")


def _default(entry: Field[Any]) -> object:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def written(value: object) -> str:
    """Return a value as in a configuration; a record by the name of its registry entry, or of its class.

    >>> written((1.0, 0.5)), written(None), written("spectrum")
    ('[1.0, 0.5]', 'null', 'spectrum')
    """
    if is_dataclass(value):
        return _names().get(type(value), type(value).__name__)
    return value if isinstance(value, str) else json.dumps(value, default=_plain, ensure_ascii=False)


@cache
def _names() -> dict[object, str]:
    return {entry: name for registry in config.registries().values() for name, entry in registry.items()}


def _plain(value: object) -> object:
    return written(value) if is_dataclass(value) else str(value)
