"""Measure recon on a GPU: does it give the CPU's numbers, how fast is it, and at which settings.

    python tests/gpu/run.py [--part numbers|speed|settings|prior] [--device auto] [--wheels FOLDER]

Each part takes at most four minutes and writes each figure into its section of BENCHMARKS.md as soon as it is there.
Without `--part`: numbers, then speed. On a CPU everything is tiny, and goes to runs/benchmarks/gpu_cpu.md.

A machine without network needs Python 3.11 or newer, torch 2.11 or newer with numpy, and three wheels, prepared
elsewhere (`--python-version` and `--platform` are those of the machine with the GPU):

    pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --dest wheels safetensors tqdm neuralpredictors
    python tests/gpu/run.py --part numbers --wheels wheels

Wheels are unpacked into a temporary folder and found before what is installed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("numbers", "speed", "settings", "prior")
DEFAULT = PARTS[:2]


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def unpack(wheels: Path, target: Path) -> Path:
    """Unpack all wheels of a folder into another one and return it."""
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise SystemExit(f"wheels: expected .whl files in {wheels}, got none; see the command in {Path(__file__).name}")
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    return target


def prepare(wheels: Path | None) -> None:
    """Put the project, its tests and the wheels where Python finds them."""
    added = [ROOT, ROOT / "tests", ROOT / "tests" / "exact", ROOT / "tests" / "benchmarks"]
    if wheels is not None:
        added.insert(0, unpack(wheels, Path(tempfile.mkdtemp(prefix="recon_wheels_"))))
    sys.path[:0] = [str(folder) for folder in added]


def run(name: str, device: Any, **changes: Any) -> list[dict[str, Any]]:
    """Run a part and return its rows; `changes` are a budget, sizes or a page other than those for the device."""
    clips, part = importlib.import_module("gpu.clips"), importlib.import_module("gpu.part")
    make: Callable[..., Any] = getattr(importlib.import_module(f"gpu.part_{name}"), name)
    chosen = make(device, changes.get("sizes") or clips.sizes_for(device))
    write = part.writer(name, device, page=changes.get("page"))
    rows: list[dict[str, Any]] = chosen.run(device, write, say, budget=changes.get("budget"))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for; return 1 where a number is not the CPU's."""
    options = argparse.ArgumentParser(description="Measure recon on a GPU; see the top of this file.")
    options.add_argument("--part", choices=PARTS)
    options.add_argument("--device", default="auto")
    options.add_argument("--wheels", type=Path)
    chosen = options.parse_args(arguments)
    prepare(chosen.wheels)
    base, part = importlib.import_module("recon.encoders.base"), importlib.import_module("gpu.part")
    device = base.resolve_device(chosen.device)
    say(part.where(device))
    rows = [row for name in ([chosen.part] if chosen.part else DEFAULT) for row in run(name, device)]
    return int(any(row.get("result") == "FAIL" for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
