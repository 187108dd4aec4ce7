"""One of each: files are written by one function, nothing is copied, every declared package is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(file for name in ("recon", "encoders", "priors") for file in (ROOT / name).rglob("*.py"))
EQUAL = 12
"""Equal lines, without blank ones, that count as a copy."""
WRITERS = {
    "recon/files/__init__.py": "writes every file, flushed and renamed",
    "recon/data/layout.py": "arrays of a folder that is flushed and renamed whole",
    "recon/data/writer.py": "text of a folder that is flushed and renamed whole",
    "recon/data/written/folders.py": "text of a folder that is flushed and renamed whole",
    "recon/run/events.py": "streams events",
    "recon/data/public/download.py": "appends to a partial file, and resumes",
}


def test_files_are_written_by_one_function() -> None:
    """A file written in place is truncated after a full disk, and one that is not flushed empty after a power cut."""
    writing = {file for file in FILES if any(map(writes, ast.walk(ast.parse(file.read_bytes()))))}
    assert {file.relative_to(ROOT).as_posix() for file in writing} == set(WRITERS)


def writes(node: ast.AST) -> bool:
    """True for a call of a method that writes in place, and of what renames or flushes a file."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    name, modes = node.func.attr, {part.value for part in node.args[:1] if isinstance(part, ast.Constant)}
    return name in {"write_bytes", "write_text", "fsync", "mkstemp"} or (name == "open" and bool(modes & {"w", "wb"}))


def similar(*files: Path) -> str:
    """Return pylint's report of pairs of files with EQUAL or more equal lines, imports and docstrings included."""
    code = f"from pylint.checkers.symilar import Run; Run(['-d', '{EQUAL - 1}', *{[*map(str, files)]}])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_no_two_files_have_twelve_equal_lines(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("".join(f"x = {line}\n" for line in range(EQUAL)))
    assert f"{EQUAL} similar lines in 2 files" in similar(*tmp_path.iterdir()), "the detector detects"
    report = similar(*FILES)
    assert "duplicates=0 " in report, report


def test_no_file_has_twelve_equal_lines_twice() -> None:
    """Pylint compares a file with others only."""
    copied = {}
    for file in FILES:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        pieces = [tuple(lines[first : first + EQUAL]) for first in range(len(lines) - EQUAL + 1)]
        copied[file] = {piece for piece in pieces if pieces.count(piece) > 1} if len({*pieces}) < len(pieces) else set()
    assert {file: pieces for file, pieces in copied.items() if pieces} == {}
