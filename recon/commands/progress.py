"""Progress bars of commands, shown where the output is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def bar(unit: str, title: str | None = None) -> Callable[[Iterable[Item]], Iterable[Item]]:
    """Return a function that iterates over items with a progress bar; a bar with a title stays when it is full."""

    def shown(items: Iterable[Item]) -> Iterable[Item]:
        from tqdm import tqdm

        iterated: Iterable[Item] = tqdm(items, desc=title, unit=unit, leave=title is not None, disable=None)
        return iterated

    return shown
