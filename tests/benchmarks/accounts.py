"""What a device does in a computation: FLOPs, bytes and seconds of its operations by kind, and what it could do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

CONVOLUTIONS = ("convolution", "convolution_backward")
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")


@dataclass
class Account:
    """FLOPs, bytes read and written, seconds of one kind of operation."""

    flops: float = 0.0
    bytes: float = 0.0
    seconds: float = 0.0


@dataclass
class Accounts:
    """Accounts by kind: depthwise convolutions, products (pointwise layers), everything else."""

    kinds: dict[str, Account] = field(default_factory=dict)

    def of(self, kind: str) -> Account:
        """Return the account of a kind."""
        return self.kinds.setdefault(kind, Account())

    @property
    def total(self) -> Account:
        """Return the sum of all kinds."""
        parts = list(self.kinds.values())
        return Account(*(sum(getattr(part, name) for part in parts) for name in ("flops", "bytes", "seconds")))


class Bookkeeper(TorchDispatchMode):
    """Books every operation that moves numbers; each is taken to read its inputs and to write its outputs once."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts = Accounts()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        started = time.perf_counter()
        out = func(*args, **kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        account = self.accounts.of(kind_of(func, args))
        account.seconds += seconds
        account.bytes += sum(tensor.numel() * tensor.element_size() for tensor in moved(func, args, kwargs, out=out))
        counted = flop_registry.get(func._overloadpacket)
        account.flops += counted(*args, **kwargs, out_val=out) if counted else 0
        return out


def kind_of(func: Any, args: Any) -> str:
    """Return the kind of an operation; a convolution with as many groups as channels is depthwise."""
    name = func._overloadpacket.__name__
    if name in CONVOLUTIONS:
        weight, groups = args[2 if name.endswith("backward") else 1], args[-2 if name.endswith("backward") else -1]
        return "depthwise layers" if groups == len(weight) else "other convolutions"
    return "products" if name in PRODUCTS else "all else"


def moved(func: Any, args: Any, kwargs: Any, *, out: Any) -> Iterator[Tensor]:
    """Yield the tensors that an operation reads or writes; views and empty tensors move nothing."""
    name = func._overloadpacket.__name__
    results = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
    view = any(result.alias_info is not None and not result.alias_info.is_write for result in func._schema.returns)
    if view or name.startswith(("empty", "new_empty", "detach")):
        return
    unread = args[1:2] if name == "convolution_backward" and not args[-1][1] else ()
    held = {id(tensor) for tensor in unread}
    yield from (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and id(leaf) not in held)
    yield from results


def booked(work: Callable[[], Any]) -> Accounts:
    """Return the accounts of some work."""
    with Bookkeeper() as keeper:
        work()
    return keeper.accounts


def peak_arithmetic(size: int, device: torch.device) -> float:
    """Return FLOPs per second of a large float32 product, the best of five."""
    left, right = (torch.rand(size, size, device=device) for _ in range(2))
    return 2 * size**3 / min(_seconds(lambda: left @ right, device) for _ in range(6))


def peak_bandwidth(megabytes: int, device: torch.device) -> float:
    """Return bytes per second of a = b + 2c on three large arrays, the best of five."""
    a, b, c = (torch.rand(megabytes * 2**18, device=device) for _ in range(3))
    moved_bytes = 3 * a.numel() * a.element_size()
    return moved_bytes / min(_seconds(lambda: torch.add(b, c, alpha=2, out=a), device) for _ in range(6))


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
