"""Fixtures that several test files of studies share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tree(world: Path, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a tiny benchmark whose run is this test's own."""
    from worlds.bench import configuration

    return configuration(world) | {"run": str(tmp_path / "run")}
