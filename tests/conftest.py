"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Published = Callable[..., Path]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data: $RECON_REAL_DATA, or shared/data beside the checkout."""
    named = os.environ.get("RECON_REAL_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data: expected the folder {folder}; set RECON_REAL_DATA to it")
    return folder


@pytest.fixture
def computes_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every CPU computes bfloat16 where it is asked to, also one that is slow at it."""
    import torch

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny benchmark: recording, encoders and bench.yaml."""
    from worlds.bench import make_world

    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with synthetic results."""
    from worlds.finished_run import make_run

    return make_run(tmp_path_factory.mktemp("runs") / "demo <1>")


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    """The page about that run."""
    from recon.report.page import write_report

    return write_report(run)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """Write a mouse folder as Sensorium 2023 publishes it, with numpy alone: `published(tiers=…, neurons=…, …)`."""

    def write(
        *,
        tiers: tuple[str, ...] = ("train", "train", "oracle", "live_test_main", "none"),
        neurons: int = 7,
        frames: int = 40,
        padding: int = 5,
        size: tuple[int, int] = (12, 16),
        dtype: Any = np.float32,
        seed: int = 0,
        folder: str = "mouse",
    ) -> Path:
        root, rng = tmp_path / folder, np.random.default_rng(seed)
        shapes = {"videos": size, "responses": (neurons,), "behavior": (2,), "pupil_center": (2,)}
        for variable, leading in shapes.items():
            (root / "data" / variable).mkdir(parents=True)
            scale = 255 if variable == "videos" else 3
            for index in (i for i, tier in enumerate(tiers) if tier != "none"):
                array = np.full((*leading, frames + padding), np.nan)
                array[..., :frames] = np.rint(rng.random((*leading, frames)) * scale * 8) / 8
                np.save(root / "data" / variable / f"{index}.npy", array.astype(dtype))
            statistics = root / "meta/statistics" / variable / "all"
            statistics.mkdir(parents=True)
            for name in ("mean", "std", "min", "max", "median"):
                np.save(statistics / f"{name}.npy", rng.random((*leading, frames + padding)).astype(np.float32))
        (root / "meta/neurons").mkdir()
        np.save(root / "meta/neurons/unit_ids.npy", np.arange(neurons) * 3 + 1)
        np.save(root / "meta/neurons/cell_motor_coordinates.npy", rng.integers(-900, 900, (neurons, 3)))
        (root / "meta/trials").mkdir()
        np.save(root / "meta/trials/tiers.npy", np.array(tiers))
        return root

    return write
