"""Single-threaded execution: thread counts change the order of float sums, and simulations must not depend on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def use_one_thread() -> None:
    """Set torch to one thread in the calling thread (the setting is per thread); initialiser of thread pools."""
    torch.set_num_threads(1)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Set torch to one thread inside the block; restore the previous number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
