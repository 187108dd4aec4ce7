"""Code outside this project: a user's own classes count in a version by their source, as the project's own do."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from uuid import uuid4

from recon.files import digest
from recon.files.syntax import behaviour, imported

PROJECT = "recon"
MAIN = ("__main__", "__mp_main__")
"""Scripts and notebooks: only what a class uses counts, not all that is typed there."""
INSTALLED = ("site-packages", "dist-packages")
PLAIN = (str, bytes, int, float, complex, bool, type(None), Path)
SESSION = uuid4().hex
"""Stands for source that is not at hand: it counts as changed in every process."""

Code = type[Any] | FunctionType
"""A class or a function."""


class UnknownSourceError(Exception):
    """The source of a class or function, or of what it uses, is not at hand."""


@dataclass
class OwnModules:
    """Modules outside the project with their behaviour, the versions of installed ones, and imports of the project."""

    behaviours: dict[str, str] = field(default_factory=dict)
    project: set[tuple[str, str]] = field(default_factory=set)

    def follow(self, modules: Iterable[str]) -> None:
        """Add modules and all that they import, except libraries of Python's own."""
        waiting = [name for name in modules if is_own(name)]
        while waiting:
            name = waiting.pop()
            if name not in self.behaviours:
                waiting += self._add(name)

    def _add(self, name: str) -> Iterator[str]:
        """Add one module; return those that it imports."""
        top = name.partition(".")[0]
        if "=" in name:  # a class of a script, with the hash of its source
            self.behaviours[name] = ""
        elif name in MAIN:
            self.behaviours[name] = _whole_script(name)
        elif known := _distribution(top):
            self.behaviours[top] = known
        elif (found := _read(name)) is not None:
            self.behaviours[name] = behaviour(found)
            return self._imports(found, name)
        return iter(())

    def _imports(self, tree: ast.Module, name: str) -> Iterator[str]:
        for base, part, _ in imported(ast.walk(tree), _package(name)):
            if base.partition(".")[0] == PROJECT:
                self.project.add((base, part))
            elif is_own(base):
                yield from (base, f"{base}.{part}") if part else (base,)


def own_modules(modules: Iterable[str]) -> OwnModules:
    """Return the modules outside the project among these names, and all that they import."""
    found = OwnModules()
    found.follow(modules)
    return found


@cache
def is_own(module: str) -> bool:
    """True for a module of neither this project nor Python."""
    top = module.partition(".")[0]
    return top != PROJECT and top not in sys.stdlib_module_names and top != "builtins"


def names_of(code: Code) -> set[str]:
    """Return the names by which the code of a class or function counts: its module, or its own source in a script."""
    if code.__module__ not in MAIN:
        return {code.__module__}
    try:
        return _closure(code)
    except UnknownSourceError:
        return {f"{code.__qualname__}={SESSION} {id(code)}"}


def unknown(code: Code) -> str:
    """Return why the source of a class or function cannot name what it computes; empty where it can."""
    name, module = code.__qualname__, code.__module__
    if not is_own(module) or _distribution(module.partition(".")[0]):
        return ""
    if "<locals>" in name:
        return f"{name} is defined inside a function"
    try:
        _closure(code) if module in MAIN else _definition(code)
    except UnknownSourceError as error:
        return str(error)
    return "" if _as_running(code) else f"the file of {name} was changed after it was imported"


def _closure(code: Code) -> set[str]:
    """Return the name of a script's class or function with a hash of all that it uses there, and its modules."""
    found: dict[str, str] = {}
    modules: set[str] = set()
    waiting = [code]
    while waiting:
        current = waiting.pop()
        if current.__qualname__ in found:
            continue
        node = _definition(current)
        found[current.__qualname__] = behaviour(node)
        for name, value in _globals_used(node, current):
            if isinstance(value, ModuleType):
                modules.add(value.__name__)
            elif isinstance(value, type | FunctionType):
                waiting += [value] if value.__module__ in MAIN else []
                modules |= {value.__module__} - {*MAIN}
            else:
                found[f"{name}="] = _constant(name, value, current)
    return {f"{code.__qualname__}={digest(sorted(found.items()))}", *modules}


def _globals_used(node: ast.AST, code: Code) -> Iterator[tuple[str, Any]]:
    """Yield the names of its script that a definition uses, with their values."""
    known = vars(sys.modules[code.__module__])
    for name in sorted({part.id for part in ast.walk(node) if isinstance(part, ast.Name)} & set(known)):
        value = known[name]
        yield name, inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value


def _constant(name: str, value: object, code: Code) -> str:
    kind = type(value)
    if _is_plain(value) or not (is_own(kind.__module__) or kind.__repr__ is object.__repr__):
        return repr(value)
    raise UnknownSourceError(f"{code.__qualname__} uses the variable {name}, which is no plain value")


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    return all(map(_is_plain, value)) if isinstance(value, tuple | list) else isinstance(value, PLAIN)


def _definition(code: Code) -> ast.AST:
    """Return the statement that defines a class or function, from its file or the notebook's cell."""
    file, line = _place(code)
    linecache.checkcache(file)
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        tree = ast.Module([], [])
    kinds = (ast.ClassDef, ast.FunctionDef)
    named = [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == code.__name__]
    for node in named:
        if not line or min((node, *node.decorator_list), key=_line).lineno <= line <= (node.end_lineno or 0):
            return node
    raise UnknownSourceError(f"the source of {code.__qualname__} is not at hand")


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _place(code: Code) -> tuple[str, int]:
    """Return the file, or the notebook's cell, that defines a class or function, and a line inside it (0: unknown)."""
    for function in _functions(code):
        return function.co_filename, function.co_firstlineno
    return str(getattr(sys.modules.get(code.__module__), "__file__", "")), 0


def _functions(code: Code) -> list[CodeType]:
    """Return the code of a function, or of the functions that a class defines in its body."""
    if isinstance(code, FunctionType):
        return [code.__code__]
    found = (_inner(value) for value in vars(code).values())
    own = [value.__code__ for value in found if isinstance(value, FunctionType)]
    return [each for each in own if each.co_qualname.startswith(f"{code.__qualname__}.")]


def _inner(value: Any) -> Any:
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, cached_property):
        value = value.func
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    return inspect.unwrap(value) if callable(value) else value


def _as_running(code: Code) -> bool:
    """True where the source on disk is that of the running code."""
    file, _ = _place(code)
    linecache.checkcache(file)
    try:
        waiting: list[Any] = [compile("".join(linecache.getlines(file)), file, "exec", dont_inherit=True)]
    except SyntaxError:
        return False
    written: dict[str, set[Any]] = {}
    while waiting:
        part = waiting.pop()
        written.setdefault(part.co_qualname, set()).add(_steps(part))
        waiting += [inner for inner in part.co_consts if isinstance(inner, CodeType)]
    return all(_steps(part) in written.get(part.co_qualname, ()) for part in _functions(code))


def _steps(code: CodeType) -> tuple[Any, ...]:
    constants = (sorted(map(repr, v)) if isinstance(v, frozenset) else v for v in code.co_consts)
    plain = tuple(repr(value) for value in constants if not isinstance(value, CodeType))
    return code.co_code, code.co_names, plain


@cache
def _distribution(top: str) -> str:
    """Return name and version of an installed package; empty for one whose source is the user's own."""
    spec = _spec(top)
    places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
    if not any(part in INSTALLED for place in places for part in Path(place).parts):
        return ""
    try:
        return f"{top} {version(top)}"
    except PackageNotFoundError:
        named = sorted(set(packages_distributions().get(top, [])))
    return " ".join(f"{name} {version(name)}" for name in named) or top


def _spec(name: str) -> ModuleSpec | None:
    """Return where a module is found, without importing anything; None for a name that is no module."""
    if (loaded := sys.modules.get(name)) is not None:
        return loaded.__spec__
    parent = name.rpartition(".")[0]
    above = _spec(parent) if parent else None
    places = above.submodule_search_locations if above else None
    return None if parent and places is None else PathFinder.find_spec(name, places)


def _read(name: str) -> ast.Module | None:
    """Return the syntax of a module's present source; None for a name that is no module with source."""
    spec = _spec(name)
    if spec is None or not isinstance(spec.loader, InspectLoader):
        return None
    source = spec.loader.get_source(name)
    return None if source is None else _parsed(source)


def _whole_script(name: str) -> str:
    """Return a hash of a script's file; a notebook has none."""
    file = str(getattr(sys.modules.get(name), "__file__", ""))
    try:
        return behaviour(ast.parse(Path(file).read_text(encoding="utf-8")))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return SESSION


def _package(name: str) -> str:
    spec = _spec(name)
    return name if spec and spec.submodule_search_locations else name.rpartition(".")[0]


@lru_cache(maxsize=256)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)
