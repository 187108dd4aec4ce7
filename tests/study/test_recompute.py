"""What is done again after a change of the code, in a copy of it: results and what was learnt for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from omegaconf import OmegaConf
from worlds.bench import configuration
from worlds.code import copied, edit

ROWS = ("mean", "sta", "ridge")
COMMAND = """
import sys
from recon import config
from recon.study.benchmark import benchmark
benchmark(config.load(sys.argv[1]), say=print)
"""


def done_again(package: Path, bench: Path) -> set[str]:
    """Run a benchmark with a copy of the code, in a process of its own; return the labels of the rows it computed."""
    command = [sys.executable, "-c", COMMAND, str(bench)]
    environment = os.environ | {"PYTHONPATH": str(package.parent)}
    said = subprocess.run(command, cwd=package.parent, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    lines = [line for line in said.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(ROWS), said.stdout
    return {line.split()[1].rstrip(":") for line in lines if "done already" not in line}


def test_changed_words_recompute_nothing_and_a_changed_constant_all_that_used_it(world: Path, tmp_path: Path) -> None:
    package, bench = copied(tmp_path / "code"), tmp_path / "bench.yaml"
    rows = [{"label": name, "method": {"name": name}} for name in ROWS]
    folders = {"run": str(tmp_path / "run"), "artefacts": str(tmp_path / "artefacts")}
    OmegaConf.save(OmegaConf.create(configuration(world) | folders | {"rows": rows, "judge": None}), bench)

    def learnt() -> dict[str, int]:
        return {name: len(list((tmp_path / "artefacts").glob(f"{name}-*.safetensors"))) for name in ROWS}

    assert done_again(package, bench) == set(ROWS)
    assert learnt() == {"mean": 1, "sta": 1, "ridge": 1}
    regression = package / "methods/linear/regression.py"
    edit(regression, '"""Ridge regression', '"""Linear regression')
    edit(regression, "BLOCKS = 8\n", "# Enough.\n\nBLOCKS = 8\n")
    edit(package / "run/runner.py", '"""The runner', '"""What runs')
    assert done_again(package, bench) == set()
    edit(regression, "BLOCKS = 8\n", "BLOCKS = 4\n")
    assert done_again(package, bench) == {"ridge"}
    assert learnt() == {"mean": 1, "sta": 1, "ridge": 2}
