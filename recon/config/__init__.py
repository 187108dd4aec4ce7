"""Configuration: YAML → resolved mapping → strictly checked records and registry entries."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import operator
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import PydanticUserError, Tag, TypeAdapter, ValidationError

from recon.config.parameters import parameters_of
from recon.config.tree import Tree, inert, merged, read_yaml, tuned_method
from recon.errors import InputError, did_you_mean, placed

Registry = Mapping[str, Callable[..., Any]]
Record = TypeVar("Record")

CONFIGS = (Path(__file__).parents[1] / "configs").resolve()
"""Packaged presets, studies and example configurations."""


def registries() -> dict[str, Registry]:
    """Return all registries by kind."""
    from recon.encoders import ENCODERS
    from recon.methods import METHODS, OPTIMISERS, TEXTS
    from recon.priors import PRIORS
    from recon.problem.fidelities import FIDELITIES

    return {
        "method": METHODS,
        "encoder": ENCODERS,
        "prior": PRIORS,
        "text": TEXTS,
        "fidelity": FIDELITIES,
        "optimiser": OPTIMISERS,
    }


def nouns() -> dict[type[Any], Registry]:
    """Return the types of fields that a registry fills, each with its entries: a mapping whose `name` picks one.

    The types are compared by identity. Several may share a registry: `PixelPrior` takes the priors of that class.
    """
    from recon.encoders.base import Encoder
    from recon.methods.base import Method
    from recon.methods.optimise.first_order import Optimiser
    from recon.priors.prior import PixelPrior, Prior, TextSource
    from recon.problem.fidelities.base import Likelihood

    known = registries()
    priors = known.get("prior", {})
    of_pixels = [name for name, prior in priors.items() if isinstance(prior, type) and issubclass(prior, PixelPrior)]
    return {
        Method: known.get("method", {}),
        Encoder: known.get("encoder", {}),
        Prior: priors,
        PixelPrior: {name: priors[name] for name in of_pixels},
        TextSource: known.get("text", {}),
        Likelihood: known.get("fidelity", {}),
        Optimiser: known.get("optimiser", {}),
    }


def listing() -> list[tuple[str, str, str]]:
    """Return (kind, name, first line of the docstring) of every registry entry, and the meanings of the metrics."""
    from recon.metrics import METRICS

    found = [
        (kind, name, (inspect.getdoc(entry) or "").partition("\n")[0])
        for kind, registry in registries().items()
        for name, entry in registry.items()
    ]
    return found + [("metric", metric.name, f"{metric.meaning}.") for metric in METRICS.values()]


def load(path: Path | str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file and resolve overrides (`section.key=value`), interpolations and presets.

    A path that does not exist may name a packaged configuration: `demo`, `configs/demo.yaml`, `tune/map_spectrum`.
    """
    return _loaded(_located(Path(path)), overrides, ())


def _loaded(path: Path, overrides: Sequence[str], within: tuple[Path, ...]) -> dict[str, Any]:
    """Read a configuration; `within`: the files whose presets led to it."""
    methods = path.parent if path.parent.name == "methods" else path.parent / "methods"
    expanded: dict[str, Any] = expand(read_yaml(path, overrides), (methods,), within=(*within, path.resolve()))
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
    return inert(tree)


def build(kind: str, tree: Any, *, where: str = "") -> Any:
    """Build an object from a mapping: `name` selects the registry entry, the other keys are its arguments."""
    return _named(registries()[kind], tree, where or kind)


def _named(registry: Registry, tree: Any, where: str) -> Any:
    if not isinstance(tree, Mapping) or not isinstance(tree.get("name"), str):
        names = ", ".join(registry)
        raise InputError(f"{where}: expected a mapping with a `name` or a `preset`, got {tree!r}; names: {names}")
    name = tree["name"]
    if name not in registry:
        raise InputError(f"{where}.name: {_expected(name, registry)}, got {name!r}; `recon list` explains the names")
    arguments = {key: value for key, value in tree.items() if key != "name"}
    return call(registry[name], arguments, where=where, also_valid=("preset",))


def call(entry: Callable[..., Record], tree: Tree, *, where: str, also_valid: Sequence[str] = ()) -> Record:
    """Call a function or dataclass with arguments from a mapping; names and types are checked strictly.

    `also_valid`: keys handled by the caller; listed in the error for an unknown key.
    """
    parameters = parameters_of(entry)
    for key in tree:
        if key not in parameters:
            known = _expected(str(key), [*parameters, *also_valid])
            raise InputError(f"{where}: {known}, got key {key!r}; correct or remove it")
    missing = [p.name for p in parameters.values() if p.default is p.empty and p.name not in tree]
    if missing:
        raise InputError(f"{where}: expected the key {missing[0]!r}, got {sorted(tree) or 'nothing'}; add it")
    arguments = {key: convert(parameters[key].annotation, tree[key], where=f"{where}.{key}") for key in tree}
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

    Objects of a registered or record type are returned as they are.
    """
    choice = _choose(annotation, value)
    if isinstance(choice, type) and (registry := nouns().get(choice)) is not None:
        return value if _is_object(value, choice) else _named(registry, value, where)
    if isinstance(choice, dict):
        return value if _is_object(value, *choice.values()) else _named(choice, value, where)
    if isinstance(choice, type) and dataclasses.is_dataclass(choice):
        return value if _is_object(value, choice) else record(choice, value, where=where)
    origin, arguments = get_origin(choice), get_args(choice)
    if origin is tuple and _is_built(arguments[0]) and isinstance(value, list | tuple):
        return tuple(convert(arguments[0], item, where=f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping) and _is_built(arguments[1]) and isinstance(value, Mapping):
        return {key: convert(arguments[1], item, where=f"{where}.{key}") for key, item in value.items()}
    return _plain(choice, value, where)


def _is_object(value: Any, *kinds: type[Any]) -> bool:
    """Return whether a value is no YAML but an object of one of these types, built in Python."""
    return not isinstance(value, Mapping | list | tuple | str | Path) and isinstance(value, kinds)


def _plain(annotation: Any, value: Any, where: str) -> Any:
    """Validate with pydantic's strict JSON mode: lists become tuples, strings paths, integers floats."""
    try:
        text = json.dumps(value, default=str, allow_nan=False)
    except ValueError as error:  # no record takes infinity, and NaN would pass every comparison
        raise InputError(f"{where}: expected finite numbers, got {value!r}; correct this value") from error
    try:
        return TypeAdapter(annotation).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        expected = first["msg"].replace("Input should be ", "").replace("a valid ", "")
        raise InputError(f"{where}{place}: expected {expected}, got {first['input']!r}; correct this value") from error
    except PydanticUserError as error:
        raise InputError(f"{where}: expected no value here, got {value!r}; only Python sets it: remove it") from error


def _choose(annotation: Any, value: Any) -> Any:
    """Resolve a union: mappings, lists and objects select the members that are built, others the plain members.

    A tagged union of records, `Annotated[A, Tag("a")] | Annotated[B, Tag("b")]`, gives a mapping from tag to record.
    """
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    built = [member for member in get_args(annotation) if _is_built(member)]
    plain = [member for member in get_args(annotation) if member not in built]
    scalar = value is None or isinstance(value, bool | int | float | str | Path)
    if plain and (scalar or not built):
        return functools.reduce(operator.or_, plain)
    return built[0] if len(built) == 1 else dict(map(_tagged, built))


def _tagged(member: Any) -> tuple[str, type[Any]]:
    """Return the tag and the record of a member of a tagged union."""
    record, *about = get_args(member)
    (tag,) = [note.tag for note in about if isinstance(note, Tag)]
    return tag, record


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
