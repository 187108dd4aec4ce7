"""Files of others are opened where they are checked, and nowhere else; found on the syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(file for name in ("recon", "encoders", "priors") for file in (ROOT / name).rglob("*.py"))


def uses(library: str) -> dict[str, ast.Module]:
    """Return the files, by path, that import a library, also inside functions."""
    texts = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in FILES}
    trees = {path: ast.parse(text) for path, text in texts.items() if library in text}
    return {path: tree for path, tree in trees.items() if library in set(_imported(tree))}


def _imported(tree: ast.Module) -> list[str]:
    nodes = list(ast.walk(tree))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return [name.split(".")[0] for name in (*plain, *(n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)))]


def test_hdf5_files_are_opened_in_one_place() -> None:
    """Whatever is read from HDF5 goes through the reader that refuses links, bombs and damage."""
    found = uses("h5py")
    opened = [
        (path, ast.unparse(node))
        for path, tree in found.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("File")
    ]
    within = [f"recon/data/{name}.py" for name in ("hdf5", "hdf5_storage", "stored_numbers")]
    assert sorted(found) == [*within, "recon/study/outputs.py"]
    assert sorted(opened) == [
        ("recon/data/hdf5.py", "h5py.File(path, 'r')"),
        ("recon/study/outputs.py", "h5py.File(memory, 'w')"),
    ]
    assert not uses("tables") and not uses("netCDF4")


def test_pynwb_only_writes() -> None:
    """pynwb follows links into other files, so that no file is read by it."""
    found = uses("pynwb")
    assert sorted(found) == ["recon/data/written/nwb.py", "recon/data/written/nwb_file.py", "recon/report/nwb.py"]
    calls = [ast.unparse(node) for tree in found.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [call for call in calls if "IO(" in call and "H5DataIO" not in call] == ["NWBHDF5IO(stream.name, 'w')"]


def test_gzip_files_are_unpacked_where_the_limit_is() -> None:
    """`recon.study.tune` only writes them."""
    assert sorted(uses("gzip")) == ["recon/data/limits.py", "recon/data/packed.py", "recon/study/tune.py"]
    tune = uses("gzip")["recon/study/tune.py"]
    calls = [ast.unparse(node) for node in ast.walk(tune) if isinstance(node, ast.Call)]
    assert [call for call in calls if call.startswith("gzip.")] == ["gzip.GzipFile('', 'wb', fileobj=stream, mtime=0)"]
