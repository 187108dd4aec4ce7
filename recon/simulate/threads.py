"""Thread counts change the order of float sums; simulations run on one thread so that they do not depend on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def use_one_thread() -> None:
    """Let torch use one thread in the calling thread (the count is kept per thread); for thread pools."""
    torch.set_num_threads(1)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
