"""Registries: recon's own entries by name, those of installed packages (entry points), and `module:factory`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from recon.config.own_code import EncoderFactory, checked_entry, imported, is_reference
from recon.errors import InputError


@dataclass(frozen=True)
class Registry(Mapping[str, Callable[..., Any]]):
    """Entries by name: recon's own, and what can be asked for beside them, which is imported only then.

    Iteration goes over recon's own, so that nothing of others is imported; `names` has those of installed packages too.
    `group`: the entry points of installed packages; `product`: the type of what an entry makes.
    """

    own: Mapping[str, Callable[..., Any]]
    group: str
    product: type[Any]

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """Return an entry; raises InputError for one that cannot be imported or makes something else."""
        if name in self.own:
            _warn_of_namesakes(self.group, name)
            return self.own[name]
        if is_reference(name):
            return checked_entry(imported(name), self.product, name)
        if name not in additions(self.group):
            raise KeyError(name)
        entry = _only(name, additions(self.group)[name])
        return checked_entry(_loaded(entry), self.product, name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of recon's own entries."""
        return iter(self.own)

    def __len__(self) -> int:
        """Return the number of recon's own entries."""
        return len(self.own)

    def __contains__(self, name: object) -> bool:
        """Return whether a name is known or has the form `module:factory`; nothing is imported."""
        return isinstance(name, str) and (is_reference(name) or name in self.own or name in additions(self.group))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of recon's own entries and of those of installed packages; nothing is imported."""
        return tuple(dict.fromkeys((*self.own, *additions(self.group))))

    def checked(self, name: str, made: Any, where: str) -> Any:
        """Return what an entry made; raises InputError where a user's own made something else."""
        if name not in self.own and not isinstance(made, self.product):
            got = type(made).__name__
            raise InputError(f"{where}.name: expected {name} to make a {self.product.__name__}, got {got}; correct it")
        return made

    def about(self, name: str) -> str:
        """Return the first line of an entry's docstring; of one that cannot be imported, the reason."""
        try:
            entry = self[name]
            made_by = entry.factory if isinstance(entry, EncoderFactory) else entry
            return (inspect.getdoc(made_by) or "").partition("\n")[0]
        except InputError as error:
            return f"not available: {error}."


@cache
def additions(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of installed packages by name; the environment is read once per process."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        others = found.get(entry.name, ())
        found[entry.name] = others if entry in others else (*others, entry)
    return found


@cache
def _warn_of_namesakes(group: str, name: str) -> None:
    for entry in additions(group).get(name, ()):
        logging.getLogger(__name__).warning(
            "%s: entry point %r of %s is refused: the name is recon's own", group, name, _package(entry)
        )


def _only(name: str, entries: tuple[EntryPoint, ...]) -> EntryPoint:
    if len(entries) > 1:
        packages = " and ".join(map(_package, entries))
        raise InputError(f"{name}: expected the name of one package, got {packages}; uninstall one of them")
    return entries[0]


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # whatever the package raises: the other entries remain
        said = " ".join(str(error).split())
        raise InputError(
            f"{entry.name}: expected the entry point {entry.value} of {_package(entry)} to be importable, got "
            f"{type(error).__name__}: {said}; repair or uninstall that package"
        ) from error


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
