"""A user's own code in a configuration: `module:factory` is imported, recognised by its annotation, and called.

Importing a module executes it. Only functions and classes that say that they make what is asked for are called, so that
a configuration alone cannot call an arbitrary function of an installed library.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from recon.config.parameters import parameters_of
from recon.encoders.base import Encoder, Spec
from recon.encoders.description import description
from recon.encoders.foreign import finished
from recon.errors import InputError, did_you_mean
from recon.files import MARKER, digest, file_hash
from recon.files.paths import user_path

REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_reference(name: str) -> bool:
    """Return whether a name has the form `package.module:factory`.

    >>> is_reference("my_lab.models:build"), is_reference("map_spectrum"), is_reference("C:/x")
    (True, False, False)
    """
    return REFERENCE.fullmatch(name) is not None


def references(tree: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield (place, reference) of every `name: module:factory` of a configuration."""
    if isinstance(tree, Mapping):
        if isinstance(name := tree.get("name"), str) and is_reference(name):
            yield f"{where}.name".removeprefix("."), name
        for key, value in tree.items():
            yield from references(value, f"{where}.{key}".removeprefix("."))
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from references(value, f"{where}[{number}]")


def check_code(path: Path, tree: Any) -> None:
    """Raise InputError for a `module:factory` in a configuration that lies in a folder of results.

    These are the folders with a marker of recon, all folders inside them, and the folder of an environment.json, which
    lies beside the configuration of every run: what was downloaded looks like what was computed here.
    """
    places = (path.absolute(), path.resolve())
    marked = any((folder / MARKER).exists() for one in places for folder in one.parents)
    if not marked and not any(one.with_name("environment.json").exists() for one in places):
        return
    for place, reference in references(tree):
        raise InputError(
            f"{path}: expected names of recon's own in a configuration that came with results, got the code "
            f"{reference} at {place}; read that module, then use `recon rerun RUN --trust-code`, or copy the "
            "configuration out of the folder"
        )


def imported(reference: str) -> Any:
    """Return what `module:factory` names; modules in the current folder are found too.

    Raises InputError where the module or the name in it is missing, or importing fails.
    """
    name, _, path = reference.partition(":")
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        raise InputError(f"{reference}: expected a module of your own, got Python's {top}; name another")
    thing: Any = _module(name, top, reference)
    for part in path.split("."):
        known = vars(thing)
        if part not in known:
            close = did_you_mean(part, [one for one in known if not one.startswith("_")])
            raise InputError(f"{reference}: expected a name in {name}, got {part!r}{close}; correct it")
        thing = known[part]
    return thing


def _module(name: str, top: str, reference: str) -> Any:
    here = Path.cwd()
    try:
        if (
            name not in sys.modules
            and importlib.util.find_spec(top) is None
            and ((here / top).is_dir() or (here / f"{top}.py").is_file())
        ):
            sys.path.append(str(here))  # an installed `recon` command does not look in the current folder
            importlib.invalidate_caches()
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever the module raises
        said = " ".join(str(error).split())
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{reference}: expected a module that Python finds, got no {error.name}; run the command in its "
                "folder, or install it with pip install -e"
            ) from error
        raise InputError(
            f"{reference}: expected a module that can be imported, got {type(error).__name__}: {said}; "
            f"try `python -c 'import {name}'`"
        ) from error


def checked_entry(thing: Any, product: type[Any], name: str) -> Callable[..., Any]:
    """Return an entry that makes a `product`; raises InputError for anything that does not say that it does.

    A class is one if it is a subclass, a function if its return annotation is one. Encoder factories may also return
    (torch module, Spec).
    """
    if not inspect.isfunction(thing) and not inspect.isclass(thing):
        raise InputError(f"{name}: expected a function or class, got {type(thing).__name__}; name another")
    makes = thing if inspect.isclass(thing) else _returned(thing, name)
    if not _is_product(makes, product):
        pair = " or `-> tuple[nn.Module, Spec]`" if product is Encoder else ""
        got = "no return annotation" if makes is None else f"one that makes {getattr(makes, '__name__', makes)}"
        wanted = f"a subclass of {product.__name__}, or a function annotated `-> {product.__name__}`{pair}"
        raise InputError(f"{name}: expected {wanted}, got {got}; annotate what it returns")
    return EncoderFactory(name, thing) if product is Encoder else thing


def _returned(function: Callable[..., Any], name: str) -> Any:
    try:
        return get_type_hints(function).get("return")
    except (NameError, TypeError) as error:
        raise InputError(
            f"{name}: expected annotations that can be evaluated, got {error}; import their names outside "
            "`if TYPE_CHECKING`"
        ) from error


def _is_product(makes: Any, product: type[Any]) -> bool:
    if product is Encoder and get_origin(makes) is tuple:
        return get_args(makes)[1:] == (Spec,)
    if not isinstance(makes, type):
        return False
    if not getattr(product, "_is_protocol", False):
        return issubclass(makes, product)
    members = {one for one in (*vars(product), *product.__annotations__) if not one.startswith("_")}
    return makes is product or members | {"__call__"} <= set(dir(makes))


@dataclass(frozen=True)
class EncoderFactory:
    """A user's factory of an encoder; called with its own arguments and, if it takes none itself, `weights`."""

    name: str
    factory: Callable[..., Any]

    @property
    def __signature__(self) -> inspect.Signature:
        """The arguments of the factory, and `weights`."""
        known = list(parameters_of(self.factory).values())
        if all(one.name != "weights" for one in known):
            place = next((i for i, one in enumerate(known) if one.kind is one.VAR_KEYWORD), len(known))
            weights = inspect.Parameter("weights", inspect.Parameter.KEYWORD_ONLY, default="", annotation=str)
            known.insert(place, weights)
        return inspect.Signature(known)

    def __call__(self, **arguments: Any) -> Encoder:
        """Return the encoder, its weights loaded, after a dry run; it knows what built it."""
        taken = inspect.signature(self.factory).parameters
        given = {key: value for key, value in arguments.items() if key in taken or key != "weights"}
        weights = "" if "weights" in taken else str(arguments.get("weights", ""))
        encoder = finished(self.factory(**given), weights)
        named = (self.name.partition(":")[0],) if is_reference(self.name) else ()
        modules = tuple(sorted({self.factory.__module__, *named}))
        built_by = {"name": self.name, "arguments": {key: _content(value) for key, value in given.items()}}
        encoder.source_modules = modules
        encoder.source_digest = digest([built_by, description(encoder)])
        return encoder


def _content(value: Any) -> Any:
    """Return the hash of a file for a text that names one, and any other value as it is."""
    try:
        is_file = isinstance(value, str | Path) and user_path(value).is_file()
    except OSError:  # a text that is too long to name a file
        is_file = False
    return file_hash(user_path(value)) if is_file else value
