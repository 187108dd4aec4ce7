"""`recon list [NAME]`: the presets and the other entries that a configuration can name, or the settings of one."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator
from textwrap import fill
from typing import TYPE_CHECKING, Any

from recon.commands.arguments import Commands, Write

if TYPE_CHECKING:
    from recon.study.presets import Preset, Setting

WIDTH, NAMES = 110, 24
"""Width of a line, and of the column of names, in characters."""


def add_parser(commands: Commands) -> None:
    """Add `list` to the commands."""
    about = "list presets, methods, encoders, priors, texts, fidelities, optimisers and metrics, or explain one"
    parser = commands.add_parser("list", help=about, description=about)
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="for example map_spectrum: its settings")
    parser.set_defaults(command=listing)


def listing(options: argparse.Namespace, write: Write) -> None:
    """Write all names, each with a sentence; or everything about one name."""
    for line in explained(options.name) if options.name else everything():
        write(line)


def everything() -> Iterator[str]:
    """Yield the presets with their facts, then the names of each kind with a sentence."""
    from recon.config import listing as entries
    from recon.study.presets import presets

    yield "presets: `preset: NAME` in a configuration, NAME in Python; `recon list NAME` shows the settings"
    for preset in presets().values():
        yield from _facts(preset)
    kind = ""
    for current, name, about in entries():
        if current != kind:
            yield f"{current}s" if current != "fidelity" else "fidelities"
            kind = current
        yield f"  {name:28} {about}"


def _facts(preset: Preset) -> Iterator[str]:
    yield f"  {preset.name:{NAMES}}{preset.about}"
    yield _wrapped(f"{preset.family}; {preset.cost}; sees {preset.seen}")


def _wrapped(text: str) -> str:
    indent = " " * (NAMES + 2)
    return fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def explained(name: str) -> Iterator[str]:
    """Return the lines about a preset, or about an entry of a registry; raises InputError for an unknown name."""
    from recon.config import registries
    from recon.errors import InputError, did_you_mean
    from recon.metrics import METRICS
    from recon.study.presets import presets

    known = {entry: (kind, made) for kind, registry in registries().items() for entry, made in registry.items()}
    if name in presets():
        return _of_preset(presets()[name])
    if name in known:
        return _of_entry(name, *known[name])
    if name in METRICS:
        return iter([f"{name}: {METRICS[name].meaning}."])
    close = did_you_mean(name, [*presets(), *known, *METRICS])
    raise InputError(
        f"list: expected the name of a preset, a method or another entry{close}, got {name!r}; see `recon list`"
    )


def _of_preset(preset: Preset) -> Iterator[str]:
    yield str(preset)
    yield f"method: {preset.tree['name']}: {_sentence(type(preset.method))}"
    yield f"settings, in YAML beside `preset: {preset.name}`; [the default] where it differs; of a part with dots"
    yield "write the whole part, as `recon benchmark CONFIG --print-config` does:"
    width = max(len(setting.name) for setting in preset.settings) + 2
    for setting in preset.settings:
        yield _line(setting, width)


def _line(setting: Setting, width: int) -> str:
    default = f"  [{setting.default}]" if setting.changed and setting.default is not None else ""
    return f"  {setting.name:{width}}{setting.value}{default}"


def _of_entry(name: str, kind: str, entry: Callable[..., Any]) -> Iterator[str]:
    from recon.study.presets import SET_BY_FITTING

    yield f"{name} ({kind}): {inspect.getdoc(entry) or ''}"
    for parameter in inspect.signature(entry).parameters.values():
        if parameter.name in SET_BY_FITTING:
            continue
        default = "required" if parameter.default is parameter.empty else _shown(parameter.default)
        yield f"  {parameter.name:{NAMES}}{default}"


def _shown(default: object) -> str:
    """Return a default as it is written; the factory of a record has no value of its own.

    >>> _shown(3), _shown(dict)
    ('3', '')
    """
    from recon.study.presets import written

    return "" if callable(default) or "factory" in repr(default) else written(default)


def _sentence(entry: type[Any]) -> str:
    return (inspect.getdoc(entry) or "").partition("\n")[0]
