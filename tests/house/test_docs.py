"""The pages of docs/: built without network and without warnings; the commands of the start page run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from worlds.pages import ROOT, TEXTS, blocks, lines

from recon.cli import main

REMOTE = re.compile(r"<(?:script|link|img|iframe|source|video)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
"""What a browser would fetch from elsewhere when a page opens; links that a reader follows are not among it."""
START = TEXTS["docs/start.md"]


@pytest.mark.slow
def test_the_pages_are_built_without_warnings_and_open_without_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--nitpicky"]
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    told = subprocess.run(
        [*command, "docs", str(tmp_path)], cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr[-3000:]
    pages = {
        page.relative_to(tmp_path).as_posix(): page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")
    }
    missing = {name for name in TEXTS if name.startswith("docs/")} - {
        f"docs/{name.removesuffix('.html')}.md" for name in pages
    }
    assert not missing
    fetched = {name: REMOTE.findall(text) for name, text in pages.items() if REMOTE.search(text)}
    assert not fetched


@pytest.mark.slow
def test_the_commands_of_the_start_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in lines(START):
        program, *words = shlex.split(line)
        if program == "recon":
            assert main(words) == 0, line
    assert Path("runs/demo/report.html").exists() and Path("runs/demo_prior/report.html").exists()


@pytest.mark.slow
def test_the_python_of_the_start_page_runs_as_it_stands(tmp_path: Path) -> None:
    """README's runs in the environment of the wheel, in tests/slow/test_wheel.py."""
    script = tmp_path / "script.py"
    script.write_text("\n".join(blocks(START, "python")), encoding="utf-8")
    told = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-3000:]
    assert (tmp_path / "report.html").exists()
