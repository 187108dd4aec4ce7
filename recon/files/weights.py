"""Weights of encoders, priors and decoders: finite numbers, and settings that are checked before anything is built."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from recon.errors import InputError, did_you_mean
from recon.files.paths import user_path

Network = TypeVar("Network", bound=nn.Module)
Record = TypeVar("Record")
BROKEN = (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What torch's constructors raise for sizes that fit no network."""


def places(name: str | Path, *folders: Path) -> list[Path]:
    """Return where the weights of a name can be: a file of that name, or one shipped in a folder.

    >>> [place.as_posix() for place in places("v1", Path("shipped"))], len(places("runs/v1", Path("shipped")))
    (['v1', 'shipped/v1.safetensors'], 1)
    """
    path = user_path(name)
    return [path, *(folder / f"{name}.safetensors" for folder in folders if path.name == str(name))]


def find_weights(name: str | Path, shipped: Path, *, what: str, remedy: str) -> Path:
    """Return the path of a weights file, or of a name among those in the folder `shipped`.

    `what` is expected ("an encoder") and `remedy` is what the user can do, for the error.
    """
    found = next((place for place in places(name, shipped) if _is_file(place)), None)
    if found is None:
        known = sorted(file.stem for file in shipped.glob("*.safetensors"))
        raise InputError(
            f"weights: expected {what}, a file or a shipped name ({', '.join(known) or 'none'}), got {str(name)!r}"
            f"{did_you_mean(str(name), known)}; {remedy}"
        )
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for a file
        return False


def read_tensors(path: Path, *, infinite: tuple[str, ...] = ()) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return header and tensors of a safetensors file; values must be finite, see `check_tensors`."""
    with _opened(path) as file:
        header, names = dict(file.metadata() or {}), list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
    check_tensors(path, tensors, infinite=infinite)
    return header, tensors


def read_header(path: Path) -> dict[str, str]:
    """Return the header of a safetensors file."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: expected a whole safetensors file, got {error}; pickled or truncated weights are not read: "
            "copy the file again or retrain it"
        ) from error


def check_tensors(path: Path | str, tensors: Mapping[str, Tensor], *, infinite: tuple[str, ...] = ()) -> None:
    """Raise InputError for the first tensor that is not plain or holds NaN or infinity.

    Tensors whose names end with one of `infinite` may hold infinity. An expanded tensor would fill the memory from a
    few bytes on disk, so every value has to be in the file.
    """
    for name, value in tensors.items():
        if value.layout != torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise InputError(f"{path}: {name}: expected a dense tensor with all its values, got none; copy it again")
        allowed = value.isnan().logical_not() if name.endswith(infinite) else value.isfinite()
        if not bool(allowed.all()):
            raise InputError(f"{path}: {name}: expected finite weights, got NaN or infinity; train or copy it again")


def from_json(text: str, *, where: str) -> Any:
    """Return the value of a JSON text in a file's header; raises InputError for damage or endless nesting."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected JSON, got {_short(error)}; copy the file again or retrain it") from error


def from_mapping(cls: type[Record], tree: Any, *, where: str) -> Record:
    """Return the (nested) dataclass of a mapping; keys, types and the ranges of its fields are checked strictly."""
    _check_keys(cls, tree, where)
    try:
        text = json.dumps(tree, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected finite plain settings, got {_short(error)}; correct it") from error
    try:
        return TypeAdapter(cls).validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(f"{where}{_reason(error)}") from error


def built(path: Path | str, build: Callable[[], Network], tensors: Mapping[str, Tensor]) -> Network:
    """Return the network that `build` makes, after its shapes were compared with those of `tensors`.

    It is built without memory first: settings may ask for more than a machine has.
    """
    empty = described(path, build)
    check_shapes(path, empty.state_dict(), tensors)
    return build()


def described(path: Path | str, build: Callable[[], Network]) -> Network:
    """Return the network on the meta device, which has shapes and no values."""
    try:
        with torch.device("meta"):
            return build()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except BROKEN as error:
        raise InputError(f"{path}: expected settings of a network, got {_short(error)}; retrain it") from error


def check_shapes(path: Path | str, expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    """Raise InputError for the first tensor that is missing, superfluous or of another shape."""
    for name in sorted({*expected, *got}):
        wanted, found = (tuple(side[name].shape) if name in side else "nothing" for side in (expected, got))
        if wanted != found:
            raise InputError(f"{path}: {name}: expected shape {wanted}, got {found}; take a file of this architecture")


def _check_keys(cls: type[Any], tree: Any, where: str) -> None:
    names = [entry.name for entry in dataclasses.fields(cls)]
    if not isinstance(tree, Mapping):
        raise InputError(f"{where}: expected settings {', '.join(names)}, got {type(tree).__name__}; correct it")
    unknown = [key for key in tree if key not in names]
    if unknown:
        raise InputError(f"{where}: expected keys {', '.join(names)}, got {unknown[0]!r}; correct or remove it")
    hints = get_type_hints(cls)
    for name in names:
        if name in tree and isinstance(hints[name], type) and dataclasses.is_dataclass(hints[name]):
            _check_keys(hints[name], tree[name], f"{where}.{name}")


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    if isinstance(first.get("ctx", {}).get("error"), InputError):
        return f"{place}: {first['ctx']['error']}"
    if first["type"] == "missing":
        return f"{place}: expected a value, got none; add it"
    expected = first["msg"].replace("Input should be ", "").replace("a valid ", "")
    return f"{place}: expected {expected}, got {_short(first['input'])}; correct it"


def _short(value: object) -> str:
    return " ".join(str(value).split())[:200]
