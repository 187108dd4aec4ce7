"""Runs of others, whose checksums fit whatever was done to them: links are refused, damaged files are named."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from worlds.finished_run import make_run, seal_run

from recon.analysis.identification.stimuli import decoding_views
from recon.analysis.prior_samples import read_samples
from recon.report.page import write_report
from recon.report.strips import write_strip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", clips=1, shape=(16, 6, 8), warmup=2)


@pytest.mark.parametrize("name", ["clips.h5", "movie.h5"])
def test_links_in_the_files_of_a_run_are_refused(run: Path, name: str) -> None:
    file = next(run.rglob(name))
    layer = "truth" if name == "clips.h5" else "reconstruction"
    with h5py.File(run.parent / "secret.h5", "w") as secret:
        secret[f"3/{layer}"] = np.zeros((16, 6, 8), np.uint8)
    with h5py.File(file, "r+") as opened:
        del opened[f"3/{layer}"]
        opened["out"] = h5py.ExternalLink(str(run.parent / "secret.h5"), "/3")
        opened[f"3/{layer}"] = h5py.SoftLink(f"/out/{layer}")
    seal_run(run)
    for write in (write_report, lambda run: write_strip(run, run / "strip.png")):
        with pytest.raises(ValueError, match=rf"{name}:3/{layer}: expected data in this file, got a link"):
            write(run)


@pytest.mark.parametrize("name", ["clips.h5", "movie.h5"])
@pytest.mark.parametrize("harm", ["cut", "overwritten", "other", "empty"])
def test_damaged_files_of_a_run_are_named(run: Path, name: str, harm: str) -> None:
    file = next(run.rglob(name))
    content = file.read_bytes()
    tree = content.index(b"TREE", 100)
    harmed = {
        "cut": content[: len(content) // 2],
        "overwritten": content[:tree] + bytes(200) + content[tree + 200 :],
        "other": b"no HDF5",
    }
    if harm == "empty":
        with h5py.File(file, "w") as opened:
            opened.create_group("3")
    else:
        file.write_bytes(harmed[harm])
    seal_run(run)
    for write in (write_report, lambda run: write_strip(run, run / "strip.png")):
        with pytest.raises(ValueError, match=rf"{name}\S*: expected"):
            write(run)


def test_files_of_other_commands_are_opened_alike(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["3/reconstruction"] = np.zeros((4, 2, 2), np.float16)
        file["3/0"] = file["3/reconstruction"]
        file["3"].attrs.update(caption="a", key="k")
    for name in ("movie.h5", "samples.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["out"], file["3"] = h5py.ExternalLink("secret.h5", "/"), h5py.SoftLink("out/3")

    class Named:
        trials = (type("Numbered", (), {"index": 3}),)

    with pytest.raises(ValueError, match=r"movie\.h5:3/reconstruction: expected data in this file, got a link"):
        decoding_views(tmp_path, Named())
    with pytest.raises(ValueError, match=r"samples\.h5: expected samples .* got a link to others"):
        read_samples(tmp_path / "samples.h5", {"a": "k"})
