"""Parameters of what a configuration builds, with their types."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, get_type_hints

from recon.files.plain_yaml import WORDS


def parameters_of(entry: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function or class by name, annotations resolved.

    A dataclass may inherit fields from another module: each annotation is resolved in the module that states it. An
    object that is called states its own signature, resolved already.
    """
    inherits = isinstance(entry, type) and dataclasses.is_dataclass(entry)
    if not inherits and not isinstance(entry, FunctionType):
        return dict(inspect.signature(entry, eval_str=True).parameters)
    hints = get_type_hints(entry, include_extras=True)
    known = inspect.signature(entry).parameters
    return {name: known[name].replace(annotation=hints.get(name, Any)) for name in known}


def annotation_of(parameter: inspect.Parameter, value: Any) -> Any:
    """Return the type of a parameter; a default that is a truth value tells how `no` is meant without an annotation.

    >>> annotation_of(inspect.Parameter("silent", inspect.Parameter.KEYWORD_ONLY, default=False), "no")
    <class 'bool'>
    """
    untold = parameter.annotation in (Any, parameter.empty) and isinstance(parameter.default, bool)
    return bool if untold and isinstance(value, str) and value.lower() in WORDS else parameter.annotation
