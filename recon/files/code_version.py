"""Version of the code behind a result: a hash of the behaviour of modules, not of their comments or layout."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import resolve_name
from pathlib import Path
from pkgutil import get_importer
from typing import NamedTuple

from torch import nn

from recon.files import digest

PACKAGE = Path(__file__).parents[1]
SOURCE = PACKAGE.resolve().parent
PROJECT = "recon"

UNCOUNTED = (
    "recon.files.code_version",
    "recon.data.content",
    "recon.files",
    "recon.files.locks",
    "recon.files.sealed",
    "recon.methods.named_files",
    "recon.methods.requirements",
    "recon.run.watch",
    "recon.study.provenance",
    "recon.study.store",
)
"""Modules that name, check, watch or store a result, and do not compute it."""

UNFOLLOWED = {
    "recon.analysis.identification.segments": "recon.study.",
    "recon.analysis.prior_samples": "recon.study.",
    "recon.config": "recon.",
    "recon.data.open": "recon.data.",
    "recon.encoders": "recon.encoders.",
    "recon.encoders.checkpoints": "recon.encoders.",
    "recon.encoders.registry": "recon.encoders.",
    "recon.methods": "recon.methods.",
    "recon.priors": "recon.priors.",
    "recon.problem.fidelities": "recon.problem.fidelities.",
    "recon.study.fisher_information": "recon.study.",
    "recon.study.shared": "recon.simulate.",
}
"""Imports that are not followed: importing module → prefix of the imported ones.

A registry imports everything that a configuration can name; the class that is picked counts by its own module.
Converted and simulated recordings count by their fingerprint. Analyses import only types and
writers from the study.
"""

LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "neuralpredictors",
    "diffusers",
    "transformers",
    "sentence-transformers",
    "kornia",
    "einops",
    "scikit-image",
    "lpips",
    "stlpips-pytorch",
    "h5py",
    "safetensors",
    "av",
    "pillow",
    "omegaconf",
    "pydantic",
)
"""Libraries whose versions are recorded with runs and artefacts."""


@cache
def code_version(*modules: str, package: Path = PACKAGE) -> str:
    """Return a hash of the syntax of modules and of all modules that they import from this project.

    Comments, docstrings and layout do not count. Names count as modules (`recon.encoders.base`), not files, so that a
    checkout and an installed wheel agree. Source is read from the folder `package` once per process.
    """
    found = {name: _module(name, package) for name in imported_modules(*modules, package=package)}
    return digest({name: module.behaviour for name, module in found.items() if module})


@cache
def imported_modules(*modules: str, package: Path = PACKAGE) -> tuple[str, ...]:
    """Return the names of modules of this project and of all that they import from it, also inside functions.

    `from package import name` counts as the module that defines `name`; the parents of a module are not followed.
    Modules of other projects are left out.
    """
    found: set[str] = set()
    waiting = [name for name in modules if _module(name, package)]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(_imports(current, package))
    return tuple(sorted(found))


def all_modules(package: Path = PACKAGE) -> tuple[str, ...]:
    """Return the names of all modules of this project."""
    folders = os.walk(package, followlinks=True)
    files = [Path(folder, file).relative_to(package) for folder, _, names in folders for file in names]
    found = [".".join((PROJECT, *file.with_suffix("").parts)) for file in files if file.suffix == ".py"]
    return tuple(sorted(name.removesuffix(".__init__") for name in found))


def modules_of(*parts: object) -> set[str]:
    """Return the names of the modules that define records and torch modules, and everything inside them."""
    return {type(part).__module__ for root in parts for part in parts_of(root)}


def parts_of(root: object) -> Iterator[object]:
    """Yield a record or torch module and the records and torch modules inside it."""
    if isinstance(root, nn.Module):
        yield from root.modules()
    elif is_dataclass(root):
        yield root
        for field in fields(root):
            yield from parts_of(getattr(root, field.name))
    elif isinstance(root, Mapping):
        for value in root.values():
            yield from parts_of(value)
    elif isinstance(root, tuple | list):
        for value in root:
            yield from parts_of(value)


def library_versions() -> dict[str, str | None]:
    """Return the installed versions of `LIBRARIES`; None for those that are absent."""
    return {name: installed_version(name) for name in LIBRARIES}


@cache
def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, without importing it; None where it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _spec(module: str, package: Path) -> ModuleSpec | None:
    """Return where the import system finds a module, without running its parents."""
    parent, _, _ = module.rpartition(".")
    if not parent:
        return _find(module, [str(package.parent)]) if module == PROJECT else None
    above = _spec(parent, package)
    return _find(module, above.submodule_search_locations or ()) if above else None


def _find(module: str, places: Iterable[str]) -> ModuleSpec | None:
    finders = filter(None, map(get_importer, places))
    return next(filter(None, (finder.find_spec(module, None) for finder in finders)), None)


class ModuleSource(NamedTuple):
    """A module's part in a version: a hash of its syntax, and its imports as (module, name or "").

    `handed_on` maps the names that a package's `__init__` imports to their origin.
    """

    behaviour: str
    imported: tuple[tuple[str, str], ...]
    handed_on: Mapping[str, tuple[str, str]]


@cache
def _module(module: str, package: Path) -> ModuleSource | None:
    """Read a module of this project; None where there is no such module."""
    spec = _spec(module, package)
    source = spec.loader.get_source(module) if spec and isinstance(spec.loader, InspectLoader) else None
    if spec is None or source is None:
        return None
    tree, parts = ast.parse(source), list[str]()
    _write(tree, parts)
    inside = module if spec.submodule_search_locations else module.rpartition(".")[0]
    handed = tree.body if spec.submodule_search_locations else []
    return ModuleSource(
        digest("".join(parts)),
        tuple((base, name) for base, name, _ in _imported(ast.walk(tree), inside)),
        {alias: (base, name) for base, name, alias in _imported(handed, inside) if base != module},
    )


def _imported(nodes: Iterable[ast.AST], inside: str) -> Iterator[tuple[str, str, str]]:
    """Yield (module, name, own name) of each import in a package; the names are empty for a whole module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), inside)
            yield from ((base, alias.name, alias.asname or alias.name) for alias in node.names)


def _write(node: object, parts: list[str]) -> None:
    """Append a syntax tree as text that is the same in every version of Python."""
    if isinstance(node, ast.AST):
        parts.append(f"{type(node).__name__}(")
        for name, value in ast.iter_fields(_plain(node)):
            if value is not None and value != [] and name not in ("ctx", "kind"):
                parts.append(f"{name}=")
                _write(value, parts)
        parts.append(")")
    elif isinstance(node, list):
        parts.append("[")
        for item in node:
            if not _idle(item):
                _write(item, parts)
        parts.append("]")
    else:
        # ASCII, because Python's table of printable characters grows.
        parts.append(f"{node!a},")


def _plain(node: ast.AST) -> ast.AST:
    """Return an f-string without the empty parts that Python 3.12 adds; any other node as it is."""
    if not isinstance(node, ast.JoinedStr):
        return node
    return ast.JoinedStr([part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")])


def _idle(node: object) -> bool:
    """True for statements without effect: `pass`, docstrings, strings that document a field."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


@cache
def _imports(module: str, package: Path) -> frozenset[str]:
    """Return the modules of this project that a module imports and that count."""
    known = _module(module, package)
    found = (_origin(base, name, package) for base, name in (known.imported if known else ()))
    unfollowed = tuple(filter(None, [UNFOLLOWED.get(module)]))
    return frozenset(name for name in found if name and name not in UNCOUNTED and not name.startswith(unfollowed))


@cache
def _origin(base: str, name: str, package: Path) -> str | None:
    """Return the module that defines a name imported from `base`: a package's `__init__` may hand it on."""
    if name and _module(f"{base}.{name}", package):
        return f"{base}.{name}"
    known = _module(base, package)
    if known and name in known.handed_on:
        return _origin(*known.handed_on[name], package) or base
    return base if known else None
