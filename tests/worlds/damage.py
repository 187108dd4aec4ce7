"""Damage to files, and what must stay the same after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from worlds.commands import rows_of
from worlds.finished_run import embedded

from recon.report.page import write_report
from recon.study.benchmark import benchmark


def flip(path: Path, place: float = 0.5, bit: int = 0) -> None:
    """Flip one bit of the byte at a fraction `place` of a file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)


def finished_copy(tree: dict[str, Any], folder: Path) -> tuple[Path, dict[str, Any]]:
    """Run a benchmark in a folder, with its page; return the run and its configuration."""
    tree = tree | {"run": str(folder / "run"), "artefacts": str(folder / "artefacts")}
    run = benchmark(tree)
    write_report(run)
    OmegaConf.save(OmegaConf.create(tree), folder / "bench.yaml")
    return run, tree


def compared(run: Path) -> tuple[Any, Any]:
    """Return the table of a run without its times, and the scores on its page."""
    methods = embedded(write_report(run))["methods"]
    times = ("seconds", "learning_seconds")
    scores = {
        method["label"]: {key: score for key, score in method["scores"].items() if key not in times}
        for method in methods
    }
    return rows_of(run), scores
