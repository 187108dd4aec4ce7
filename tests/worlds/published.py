"""Changes of mouse folders as Sensorium 2023 publishes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def edit(root: Path, variable: str, index: int, change: Callable[[Array], Array]) -> None:
    """Write what `change` makes of one array of a trial in its place."""
    file = root / f"data/{variable}/{index}.npy"
    np.save(file, change(np.load(file)))
