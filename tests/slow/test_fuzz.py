"""Random byte flips over a finished run and its artefacts: the same table again, or one line that names the file."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from worlds.bench import configuration
from worlds.damage import compared, finished_copy

from recon.cli import main

FLIPS = int(os.environ.get("RECON_FLIPS", "250"))


def flipped(path: Path, draw: random.Random) -> bytes:
    """Flip a random bit of a random byte of a file; return the content before."""
    before = path.read_bytes()
    content = bytearray(before)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return before


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


@pytest.mark.slow
def test_flipped_bytes_never_change_a_number(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    torch.set_num_threads(1)
    tree: dict[str, Any] = configuration(world) | {"information": True, "clips": {"count": 2}}
    run, tree = finished_copy(tree, tmp_path / "original")
    artefacts = Path(tree["artefacts"])
    expected, kept = compared(run), tmp_path / "kept"
    shutil.copytree(tmp_path / "original", kept)
    command = ["benchmark", str(tmp_path / "original/bench.yaml")]
    draw, counts = random.Random(0), {"same table": 0, "one line": 0}
    for number in range(FLIPS):
        chosen = draw.choice([run, artefacts])
        path = draw.choice(files_of(chosen))
        flipped(path, draw)
        if chosen == artefacts:  # a finished table does not need them: compute one that does
            shutil.rmtree(run / "tasks")
        code = main(command)
        said = capsys.readouterr()
        about = f"flip {number} in {path.relative_to(tmp_path)}: {said.err}"
        if code:
            assert code == 2 and len(said.err.strip().splitlines()) == 1 and path.name in said.err, about
            counts["one line"] += 1
        else:
            assert compared(run) == expected, about
            counts["same table"] += 1
        shutil.rmtree(tmp_path / "original")
        shutil.copytree(kept, tmp_path / "original")
    assert sum(counts.values()) == FLIPS
    record_property("flips", json.dumps(counts))
