"""Plots by matplotlib: one style, no global state, and equal bytes for equal content."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recon.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100


@contextmanager
def style() -> Iterator[None]:
    """Draw in our style, whatever the user's own matplotlibrc says."""
    from matplotlib.style import context

    ours = {"font.size": 8.0, "axes.titlesize": 9.0, "axes.spines.top": False, "axes.spines.right": False}
    with context(["default", ours]):
        yield


def write_figure(picture: Path, figure: Figure) -> Path:
    """Write a figure as PNG, atomically, without the version and the date that would change its bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    write_bytes(picture, content.getvalue())
    return picture
