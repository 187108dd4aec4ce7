"""The page about an encoder of one's own: its files and commands, run as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs/how-to/own_encoder.md"
FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)```", re.M | re.S)
BLOCK = re.compile(r"^```(\w+)\n(.*?)```", re.M | re.S)

INSTALLED = ("-P", "-c", "import sys; from recon.cli import main; sys.exit(main())")
"""Calls recon as the installed command does, which does not look for modules in the current folder."""


@pytest.mark.slow
def test_the_page_runs_from_their_class_to_a_movie(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    files = dict(FILE.findall(text))
    assert {*files} == {"their_lab.py", "my_lab.py", "own_encoder.yaml"}
    for name, content in files.items():
        (tmp_path / name).write_text(content, "utf-8")
    commands: list[list[str]] = []
    for kind, block in BLOCK.findall(FILE.sub("", text)):
        commands += [["python", "-c", block]] if kind == "python" else []
        commands += [shlex.split(line) for line in block.splitlines()] if kind == "sh" else []
    said = ""
    for program, *words in commands:
        line = [sys.executable, *(INSTALLED if program == "recon" else ()), *words]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{program} {words}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert "rates: 200 neurons, raw" in said and "fits recordings/mine" in said and "map: finished" in said
    assert np.load(tmp_path / "movie.npy").std() > 0.01 and (tmp_path / "runs/own_encoder/report.html").is_file()
