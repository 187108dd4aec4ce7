"""Folders of runs: listed, shown, handed on, removed; and a run repeated from what it wrote about itself."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from worlds.bench import configuration

from recon.cli import main
from recon.files.locks import one_writer
from recon.study.benchmark import benchmark
from recon.study.folders import RunFolder, export, remove, runs_below
from recon.study.manifest import RUN, seal
from recon.study.rerun import compare

KEY = 16 * "a"


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run below a folder of runs."""
    root = tmp_path_factory.mktemp("runs")
    tree = configuration(world) | {"run": str(root / "study/one"), "artefacts": str(root / "artefacts"), "batch": 2}
    torch.set_num_threads(1)
    return benchmark(tree)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs/one"))


def test_runs_are_found_below_a_folder_and_listed(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = finished.parents[1]
    assert [found.folder for found in runs_below(root)] == [finished]
    assert main(["runs", "list", str(root)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(str(finished)))
    rows = len(RunFolder.of(finished).rows)
    assert line.split()[1:5] == [str(rows), "0", str(RunFolder.of(finished).tasks["finished"]), "0"] and " cpu " in line
    assert main(["runs", "list", str(root / "nowhere")]) == 2


def test_a_run_is_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "partial/abc").mkdir(parents=True)
    assert main(["runs", "show", str(run)]) == 0
    said = capsys.readouterr().out
    assert "tasks unfinished: 1" in said and f"torch: {torch.__version__.split('+')[0]}" in said
    assert "ridge: 3 rows finished" in said
    assert main(["runs", "show", str(run.parent)]) == 2
    assert "expected a run's folder" in capsys.readouterr().err


def test_nothing_is_removed_unless_that_is_said_twice(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("partial", "retired"):
        (run / name / KEY).mkdir(parents=True)
        (run / name / KEY / "state.safetensors").write_bytes(bytes(1000))
    assert main(["runs", "rm", str(run)]) == 0
    assert "add --yes" in capsys.readouterr().out and (run / "partial" / KEY / "state.safetensors").exists()
    assert remove(RunFolder.of(run), leftovers=True) == (2000, [])
    assert RunFolder.of(run).tasks["unfinished"] == 0 and RunFolder.of(run).rows
    with one_writer(run):
        assert main(["runs", "rm", str(run), "--yes"]) == 2
    assert "expected no other writer" in capsys.readouterr().err and run.exists()
    assert main(["runs", "rm", str(run), "--yes"]) == 0
    assert not list(run.parent.iterdir())
    (run.parent / "notes").mkdir()
    assert main(["runs", "rm", str(run.parent / "notes"), "--yes"]) == 2 and (run.parent / "notes").exists()


def test_an_archive_holds_finished_tasks_with_their_sums(run: Path, tmp_path: Path) -> None:
    broken = sorted((run / "tasks").iterdir())[0]
    (broken / "row.json").write_text("{")
    slim, full = tmp_path / "slim.zip", tmp_path / "full.zip"
    assert export(RunFolder.of(run), slim) < export(RunFolder.of(run), full, movies=True)
    with zipfile.ZipFile(full) as archive:
        names = set(archive.namelist())
        assert {"config.yaml", "results.csv", "clips.h5", "SHA256SUMS"} < names
        assert not any(name.startswith(f"tasks/{broken.name}") for name in names), "half-written tasks stay behind"
        assert sum(name.endswith("movie.h5") for name in names) == len(list((run / "tasks").iterdir())) - 1
        for line in archive.read("SHA256SUMS").decode().splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    again = tmp_path / "again.zip"
    export(RunFolder.of(run), again)
    assert again.read_bytes() == slim.read_bytes()
    assert main(["runs", "export", str(run), str(tmp_path / "run.tar")]) == 2


def test_a_run_comes_again_number_for_number(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rerun", str(run)]) == 0
    again = run.with_name("one again")
    assert f"{len(RunFolder.of(run).rows)} rows, all numbers identical" in capsys.readouterr().out
    assert (again / "artefacts").is_dir(), "what was learnt is learnt anew"
    assert main(["rerun", str(run), "--to", str(run)]) == 2


def test_differences_are_counted_and_the_environment_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(run, run.with_name("other")))
    with (other / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[0]["ssim"] = str(float(rows[0]["ssim"]) + 0.25)
    rows[1]["status"] = "failed"
    rows[0]["seconds"] = "1e9"
    with (other / "results.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows[:-1])
    seal(other, ["results.csv"], of=RUN)
    environment = RunFolder.of(other).environment
    environment["packages"]["torch"] = "0.1"
    (other / "environment.json").write_text(json.dumps(environment))
    found = compare(RunFolder.of(run), RunFolder.of(other))
    assert not found.identical and (found.missing, found.more) == (1, 0)
    assert found.differing["ssim"] == (1, pytest.approx(0.25)) and found.differing["status"][1] == float("inf")
    assert set(found.differing) == {"ssim", "status"} and set(found.environment) == {"torch"}


def test_a_column_that_the_older_table_did_not_know_says_nothing(run: Path) -> None:
    older = Path(shutil.copytree(run, run.with_name("older")))
    with (older / "results.csv").open(newline="") as stream:
        rows = [{key: value for key, value in row.items() if key != "ssim"} for row in csv.DictReader(stream)]
    with (older / "results.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    seal(older, ["results.csv"], of=RUN)
    assert compare(RunFolder.of(older), RunFolder.of(run)).identical
    assert "ssim" in compare(RunFolder.of(run), RunFolder.of(older)).differing


def test_a_rerun_with_other_numbers_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = (run / "results.csv").read_text()
    value = next(row["ssim"] for row in RunFolder.of(run).rows)
    (run / "results.csv").write_text(table.replace(value, "0.5", 1))
    seal(run, ["results.csv"], of=RUN)
    assert main(["rerun", str(run)]) == 1
    said = capsys.readouterr().out
    assert "ssim: 1 values differ, by at most" in said and "identical" not in said
