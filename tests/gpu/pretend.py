"""A second device where there is none: tensors that say they are on `meta`, hold numbers, and never meet CPU tensors.

What raises on a GPU raises here too: an operation on tensors of two devices, or noise drawn on the device from a
generator of the CPU. Kernels and rounding are the CPU's. Not for sparse matrices, and not for
`torch.tensor(…, device=…)`, which torch makes without asking.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

ELSEWHERE = torch.device("meta")
BETWEEN = ("_to_copy", "copy_", "copy")
"""Operations that may have tensors of two devices."""
REFUSED: tuple[torch.dtype, ...] = ()
"""Kinds of numbers that the device does not have."""
INDEXED = ("index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index")
"""Operations whose indices may be on the CPU."""


class There(Tensor):
    """A tensor on the second device; `here` holds its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        """Wrap a tensor of the CPU."""
        about = {"dtype": here.dtype, "layout": here.layout, "device": ELSEWHERE}
        strides = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        made: There = Tensor._make_wrapper_subclass(cls, here.size(), **strides, **about)
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU what is computed there."""
        return _computed(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:
        """Its numbers without a history; what is set replaces them."""
        return self.detach()

    @data.setter
    def data(self, value: There) -> None:
        self.here = value.here

    def new_tensor(self, data: Any, **settings: Any) -> There:
        """Return numbers on the same device."""
        return There(self.here.new_tensor(data, **settings))

    def __getitem__(self, place: Any) -> Tensor:
        """Return a part."""
        return super().__getitem__(_listed(place))

    def __setitem__(self, place: Any, value: Any) -> None:
        """Replace a part."""
        super().__setitem__(_listed(place), value)

    def tolist(self) -> Any:
        """Return its numbers."""
        return self.here.tolist()

    def data_ptr(self) -> int:
        """Return where its numbers lie."""
        return self.here.data_ptr()

    def __repr__(self) -> str:
        """Return the repr of its numbers."""
        return f"There({self.here!r})"


def _listed(place: Any) -> Any:
    """Return an index with tensors for lists, which torch would turn into tensors of the device without asking."""
    if isinstance(place, tuple):
        return tuple(map(_listed, place))
    return torch.tensor(place) if isinstance(place, list) else place


class SecondDevice(TorchDispatchMode):
    """While it is on, tensors that are made on or moved to `meta` are `There`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU, with a check of devices."""
        return _computed(func, args, kwargs or {})


@contextmanager
def second_device(*, double: bool = True) -> Iterator[torch.device]:
    """Make the second device, and hand it out; where its kind matters to autocast it is a CPU.

    Without `double` it has no float64, as Apple's MPS.
    """
    asked = ("autocast", "get_autocast_dtype", "is_autocast_enabled")
    with ExitStack() as stack:
        for name in asked:
            stack.enter_context(mock.patch.object(torch, name, _as_cpu(getattr(torch, name))))
        if not double:
            stack.enter_context(mock.patch("recon.correlation.WITHOUT", {ELSEWHERE.type}))
            stack.enter_context(mock.patch(f"{__name__}.REFUSED", (torch.float64, torch.complex128)))
        stack.enter_context(SecondDevice())
        yield ELSEWHERE


def _as_cpu(function: Any) -> Any:
    def asked(kind: str, *rest: Any, **settings: Any) -> Any:
        return function("cpu" if kind == ELSEWHERE.type else kind, *rest, **settings)

    return asked


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves, name = tree_leaves((args, kwargs)), func._overloadpacket.__name__
    inside = any(isinstance(leaf, There) for leaf in leaves)
    asked = kwargs.get("device")
    there = inside if asked is None else torch.device(asked).type == ELSEWHERE.type
    _check(name, args, leaves, inside=inside, there=there)
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    plain_args, plain_kwargs = tree_map_only(There, lambda tensor: tensor.here, (args, kwargs))
    out = func(*plain_args, **plain_kwargs)
    if there and any(isinstance(one, Tensor) and one.dtype in REFUSED for one in tree_leaves(out)):
        raise TypeError(f"{name}: cannot make float64 on a device that does not have it")
    if not there:
        return out.clone() if inside and out is args[0] else out
    return return_and_correct_aliasing(func, args, kwargs, tree_map_only(Tensor, There, out))


def _check(name: str, args: Any, leaves: list[Any], *, inside: bool, there: bool) -> None:
    if there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{name}: a generator of the CPU draws on another device")
    if not inside or name in BETWEEN:
        return
    given = tree_leaves(args[:1] + args[2:]) if name in INDEXED and isinstance(args[0], There) else leaves
    if any(isinstance(leaf, Tensor) and not isinstance(leaf, There) and leaf.is_meta for leaf in leaves):
        raise RuntimeError(f"{name}: a tensor was made on the second device behind its back")
    strangers = [leaf for leaf in given if isinstance(leaf, Tensor) and not isinstance(leaf, There) and leaf.dim()]
    if strangers:
        raise RuntimeError(f"{name}: tensors on two devices, one of shape {tuple(strangers[0].shape)} on the CPU")
