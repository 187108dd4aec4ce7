"""Configuration: YAML → resolved mapping → strictly checked records and registry entries."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from recon.config import objects
from recon.config.objects import check_object, is_object, refuse_inscribed
from recon.config.own_code import check_code
from recon.config.parameters import annotation_of, parameters_of
from recon.config.plain import plain, tagged, tree_of
from recon.config.registry import Registry
from recon.config.tree import Tree, inert, merged, read_yaml, tuned_method
from recon.errors import InputError, did_you_mean, placed
from recon.files.paths import user_path

Record = TypeVar("Record")
UNIONS = (Union, types.UnionType)

CONFIGS = (Path(__file__).parents[1] / "configs").resolve()
"""Packaged presets, studies and example configurations."""
ABOUT = "about"
"""Key of a preset's sentence, beside the settings of its method."""


def registries() -> dict[str, Registry]:
    """Return all registries by kind; installed packages add to the first three by entry points."""
    from recon.encoders import ENCODERS
    from recon.encoders.base import Encoder
    from recon.methods import METHODS, OPTIMISERS, TEXTS
    from recon.methods.base import Method
    from recon.methods.optimise.first_order import Optimiser
    from recon.priors import PRIORS
    from recon.priors.prior import Prior, TextSource
    from recon.problem.fidelities import FIDELITIES
    from recon.problem.fidelities.base import Likelihood

    return {
        "method": Registry(METHODS, "recon.methods", Method),
        "encoder": Registry(ENCODERS, "recon.encoders", Encoder),
        "prior": Registry(PRIORS, "recon.priors", Prior),
        "text": Registry(TEXTS, "recon.texts", TextSource),
        "fidelity": Registry(FIDELITIES, "recon.fidelities", Likelihood),
        "optimiser": Registry(OPTIMISERS, "recon.optimisers", Optimiser),
    }


def nouns() -> dict[type[Any], Registry]:
    """Return the types of fields that a registry fills, each with its entries: a mapping whose `name` picks one.

    The types are compared by identity. Several may share a registry: `PixelPrior` takes the priors of that class.
    """
    from recon.priors import PRIORS
    from recon.priors.prior import PixelPrior

    of_pixels = {
        name: prior for name, prior in PRIORS.items() if isinstance(prior, type) and issubclass(prior, PixelPrior)
    }
    found = {registry.product: registry for registry in registries().values()}
    return {**found, PixelPrior: Registry(of_pixels, "recon.priors", PixelPrior)}


def listing() -> list[tuple[str, str, str]]:
    """Return (kind, name, first line of the docstring) of every registry entry, and the meanings of the metrics."""
    from recon.metrics import METRICS

    found = [(kind, name, registry.about(name)) for kind, registry in registries().items() for name in registry.names]
    return found + [("metric", metric.name, f"{metric.meaning}.") for metric in METRICS.values()]


def load(path: Path | str, overrides: Sequence[str] = (), *, trust_code: bool = False) -> dict[str, Any]:
    """Read a YAML file and resolve overrides (`section.key=value`), interpolations and presets.

    A path that does not exist may name a packaged configuration: `demo`, `configs/demo.yaml`, `tune/map_spectrum`. A
    file in a folder of results may come from somebody else: `module:factory` in it is refused without `trust_code`.
    """
    located = _located(user_path(path))
    tree = _loaded(located, overrides, ())
    if not trust_code:
        check_code(located, tree)
    return tree


def _loaded(path: Path, overrides: Sequence[str], within: tuple[Path, ...]) -> dict[str, Any]:
    """Read a configuration; `within`: the files whose presets led to it."""
    methods = path.parent if path.parent.name == "methods" else path.parent / "methods"
    tree = read_yaml(path, overrides)
    if within or path.parent == methods:
        tree.pop(ABOUT, None)
    expanded: dict[str, Any] = expand(tree, (methods,), within=(*within, path.resolve()))
    return expanded


def examples() -> dict[str, Path]:
    """Return the packaged example configurations by name; presets of methods are not among them."""
    files = _files_by_name([CONFIGS], ".yaml")
    return {name: file for name, file in sorted(files.items()) if file.parent.name not in ("methods", "cluster")}


def _located(path: Path) -> Path:
    if path.is_file():
        return path
    packaged, name = examples(), path.as_posix().removeprefix("configs/").removesuffix(".yaml")
    if name in packaged:
        return packaged[name]
    known = ", ".join(example for example in packaged if "/" not in example)
    raise InputError(
        f"configuration: expected a YAML file, got {path}, which is neither there nor packaged"
        f"{did_you_mean(name, packaged)}; check the path, or name a packaged one: {known}"
    )


def expand(tree: Any, folders: Sequence[Path] = (), *, within: tuple[Path, ...] = ()) -> Any:
    """Return the tree with each `preset: X` replaced by configs/methods/X.yaml; sibling keys override the preset.

    `tuned: X` is replaced by the method of configs/studies/X.json with its best settings, iterations and smoothing;
    sibling keys are merged into it. `within`: the files in which the tree was found, outermost first.
    """
    if isinstance(tree, Mapping):
        own = {
            key: expand(value, folders, within=within) for key, value in tree.items() if key not in ("preset", "tuned")
        }
        if "tuned" in tree:
            return _tuned(str(tree["tuned"]), own, folders)
        return {**_preset(str(tree["preset"]), folders, within), **own} if "preset" in tree else own
    if isinstance(tree, list | tuple):
        return [expand(value, folders, within=within) for value in tree]
    return objects.in_words(tree, nouns(), _named) if is_object(tree) else inert(tree)


def build(kind: str, tree: Any, *, where: str = "") -> Any:
    """Build an object from a mapping: `name` selects the registry entry, the other keys are its arguments.

    An object built in Python is returned as it is.
    """
    if is_object(tree):
        check_object(
            tree, tuple(cls for cls, known in nouns().items() if known == registries()[kind]), where=where or kind
        )
        return tree
    return _named(registries()[kind], tree, where or kind)


def inscribed(tree: Any) -> Any:
    """Return a tree for a file: Python objects as the settings that build them, or marked as what no file can hold."""
    return objects.inscribed(tree, nouns())


def _named(registry: Mapping[str, Callable[..., Any]], tree: Any, where: str) -> Any:
    if isinstance(tree, Mapping):
        refuse_inscribed(tree, where=where)
    known = registry.names if isinstance(registry, Registry) else tuple(registry)
    if not isinstance(tree, Mapping) or not isinstance(tree.get("name"), str):
        names = ", ".join(known)
        raise InputError(f"{where}: expected a mapping with a `name` or a `preset`, got {tree!r}; names: {names}")
    name = tree["name"]
    if name not in registry:
        raise InputError(
            f"{where}.name: {_expected(name, known)}, got {name!r}; `recon list` explains the names, and "
            "package.module:function names code of your own"
        )
    arguments = {key: value for key, value in tree.items() if key != "name"}
    made = call(registry[name], arguments, where=where, also_valid=("preset",))
    return registry.checked(name, made, where) if isinstance(registry, Registry) else made


def call(entry: Callable[..., Record], tree: Tree, *, where: str, also_valid: Sequence[str] = ()) -> Record:
    """Call a function or dataclass with arguments from a mapping; names and types are checked strictly.

    `also_valid`: keys handled by the caller; listed in the error for an unknown key.
    """
    parameters = parameters_of(entry)
    named = {key: one for key, one in parameters.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
    for key in tree:
        if key not in named and not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            known = _expected(str(key), [*named, *also_valid])
            raise InputError(f"{where}: {known}, got key {key!r}; correct or remove it")
    missing = [p.name for p in named.values() if p.default is p.empty and p.name not in tree]
    if missing:
        raise InputError(f"{where}: expected the key {missing[0]!r}, got {sorted(tree) or 'nothing'}; add it")
    annotations = {key: annotation_of(named[key], tree[key]) if key in named else Any for key in tree}
    arguments = {key: convert(annotations[key], tree[key], where=f"{where}.{key}") for key in tree}
    try:
        return entry(**arguments)
    except InputError as error:
        raise placed(error, where) from error


def record(cls: type[Record], tree: Any, *, where: str) -> Record:
    """Build a dataclass from a mapping."""
    if not isinstance(tree, Mapping):
        raise InputError(f"{where}: expected a mapping, got {tree!r}; its keys: {', '.join(_fields(cls))}")
    return call(cls, tree, where=where)


def convert(annotation: Any, value: Any, *, where: str) -> Any:
    """Convert a YAML value to the annotated type without coercion: "3" is not a number, 3.5 not an integer.

    Objects of a registered or record type are returned as they are, also inside a mapping that is built later; so is
    everything without an annotation.
    """
    if annotation in (Any, inspect.Parameter.empty):
        return value
    members = get_args(annotation) if get_origin(annotation) in UNIONS else (annotation,)
    if Tree in members and value is not None:
        return tree_of(tuple(kind for kind in members if kind in nouns()), value, where)
    choice = _choose(annotation, value)
    if isinstance(choice, type) and (registry := nouns().get(choice)) is not None:
        if is_object(value):
            check_object(value, (choice,), where=where)
            return value
        return _named(registry, value, where)
    if isinstance(choice, dict):
        return value if is_object(value, *choice.values()) else _named(choice, value, where)
    if isinstance(choice, type) and dataclasses.is_dataclass(choice):
        return value if is_object(value, choice) else record(choice, value, where=where)
    origin, arguments = get_origin(choice), get_args(choice)
    if origin is tuple and _is_built(arguments[0]) and isinstance(value, list | tuple):
        return tuple(convert(arguments[0], item, where=f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping) and _is_built(arguments[1]):
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected a mapping, got {value!r}; correct this value")
        return {key: convert(arguments[1], item, where=f"{where}.{key}") for key, item in value.items()}
    return plain(choice, value, where)


def _choose(annotation: Any, value: Any) -> Any:
    """Resolve a union: mappings, lists and objects select the members that are built, others the plain members.

    A tagged union of records, `Annotated[A, Tag("a")] | Annotated[B, Tag("b")]`, gives a mapping from tag to record.
    """
    if get_origin(annotation) not in UNIONS:
        return annotation
    built = [member for member in get_args(annotation) if _is_built(member)]
    others = [member for member in get_args(annotation) if member not in built]
    scalar = value is None or isinstance(value, bool | int | float | str | Path)
    if others and (scalar or not built):
        return functools.reduce(operator.or_, others)
    return built[0] if len(built) == 1 else dict(map(tagged, built))


def _is_built(annotation: Any) -> bool:
    """Return whether a value of a type is a record or a registry's entry, or a collection with such."""
    if isinstance(annotation, type) and (dataclasses.is_dataclass(annotation) or annotation in nouns()):
        return True
    members = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return any(map(_is_built, members))


def _fields(cls: type[Any]) -> Iterator[str]:
    return iter(inspect.signature(cls).parameters)


def _preset(name: str, folders: Sequence[Path], within: tuple[Path, ...]) -> dict[str, Any]:
    known = _files_by_name((*folders, CONFIGS / "methods"), ".yaml")
    if name not in known:
        raise InputError(
            f"preset: {_expected(name, sorted(known))}, got {name!r}; or write configs/methods/{name}.yaml"
        )
    file = known[name].resolve()
    if file in within:
        circle = " → ".join(path.stem for path in (*within[within.index(file) :], file))
        raise InputError(f"{within[-1]}: expected presets that end, got the circle {circle}; name another preset there")
    return _loaded(file, (), within)


def _files_by_name(folders: Sequence[Path], suffix: str) -> dict[str, Path]:
    """Return the files below folders, the first folder's first: a name of someone else's leads nowhere outside them."""
    found = [(file.relative_to(folder), file) for folder in folders for file in sorted(folder.rglob(f"*{suffix}"))]
    return {name.with_suffix("").as_posix(): file for name, file in reversed(found)}


def _tuned(name: str, own: Tree, folders: Sequence[Path]) -> dict[str, Any]:
    known = _files_by_name([folder.parent / "studies" for folder in (*folders, CONFIGS / "methods")], ".json")
    if name not in known:
        raise InputError(f"tuned: {_expected(name, sorted(known))}, got {name!r}; or run `recon tune` for it")
    method, sigma = tuned_method(known[name])
    method = merged(method, own)
    return {"name": "smoothed", "sigma": sigma, "method": method} if any(sigma) else method


def _expected(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    return f"expected one of {', '.join(known)}{did_you_mean(name, known)}"
