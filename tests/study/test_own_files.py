"""The user's files: a run takes no folder that is not a run, and removes nothing but what recon wrote."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from worlds.bench import configuration

from recon.cli import main
from recon.data.writer import RecordingWriter
from recon.files import MARKER, check_ours, claim, kind_of
from recon.report.page import is_current, write_report
from recon.study.benchmark import benchmark
from recon.study.folders import RunFolder, remove
from recon.study.manifest import RUN, seal

USERS = ("config.yaml", "results.csv", "environment.json", "report.html", "tasks/mine/notes.txt", "partial/x/y.txt")
"""Files of a user, under names that a run has as well."""


OTHERS = (
    ("sample", "output", "samples"),
    ("language", "run", "language study"),
    ("identify_v1", "run", "identification"),
    ("identify_captions", "run", "identification"),
    ("identify_static", "run", "identification"),
    ("identify", "run", "run"),
)
"""Packaged configurations of commands, the key of their folder, and its kind."""


def listed(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder with their content; locks are empty and do not count."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(".lock"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return benchmark(small(world, tmp_path_factory.mktemp("runs") / "one"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs/one"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of the user's own."""
    for name in USERS:
        (tmp_path / "proj" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proj" / name).write_text(f"mine: {name}")
    return tmp_path / "proj"


def small(world: Path, run: Path) -> dict[str, object]:
    tree = configuration(world) | {"run": str(run), "artefacts": str(run.parent / "artefacts")}
    return tree | {"rows": [{"label": "mean", "method": {"name": "mean"}}]}


def command(world: Path, run: Path | str, tmp_path: Path) -> list[str]:
    file = tmp_path / "bench.yaml"
    file.write_text(yaml.safe_dump(small(world, tmp_path / "x") | {"run": str(run)}))
    return ["benchmark", str(file)]


def test_a_run_refuses_a_folder_of_the_user_before_the_first_byte(
    world: Path, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listed(project)
    assert main(command(world, project, tmp_path)) == 2
    assert (
        "expected a new folder or recon's own run folder, got one without a valid .recon.json; name another"
        in capsys.readouterr().err
    )
    assert main(["runs", "rm", "--leftovers", "--yes", str(project)]) == 2
    assert main(["runs", "rm", "--yes", str(project)]) == 2
    assert listed(project) == before


@pytest.mark.parametrize("inside", ["", "meta"])
def test_a_run_refuses_the_folder_of_its_recording(
    world: Path, tmp_path: Path, inside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Path(str(configuration(world)["recording"]))
    before = listed(recording)
    assert main(command(world, recording / inside, tmp_path)) == 2
    assert "expected a folder outside the recording" in capsys.readouterr().err
    assert main(["runs", "rm", "--yes", str(recording)]) == 2
    assert listed(recording) == before


def test_a_recording_to_be_simulated_into_the_run_is_refused_before_it_is_simulated(
    world: Path, tmp_path: Path
) -> None:
    tree = small(world, tmp_path / "both") | {"recording": str(tmp_path / "both"), "simulate": {"neurons": 5}}
    with pytest.raises(ValueError, match="expected a folder outside the recording"):
        benchmark(tree)
    assert not (tmp_path / "both").exists()


def test_a_marker_that_a_kill_cut_short_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f".{MARKER}.123").write_text("{")
    claim(tmp_path / "run", "run")
    assert kind_of(tmp_path / "run") == "run"


def test_a_damaged_marker_is_named(tmp_path: Path) -> None:
    for content in ('{"kind": "2un"}', '{"kind": 3}', "[]", "{", ""):
        (tmp_path / MARKER).write_text(content)
        with pytest.raises(ValueError, match=re.escape(MARKER)):
            check_ours(tmp_path, "run")


@pytest.mark.parametrize("name", ["", "."])
def test_a_run_refuses_the_current_folder(
    world: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    arguments = command(world, name, tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    assert main(arguments) == 2
    assert "expected a folder of its own, got the current one" in capsys.readouterr().err
    assert not list((tmp_path / "here").iterdir())


def test_other_commands_with_a_folder_of_results_refuse_the_users_too(
    run: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listed(project)
    assert main(["rerun", str(run), "--to", str(project)]) == 2
    assert "expected a new folder or recon's own run folder" in capsys.readouterr().err
    for name, key, kind in OTHERS:
        verb = name.partition("_")[0]
        assert main([verb, name, f"{key}={project}"]) == 2
        assert f"expected a new folder or recon's own {kind} folder" in capsys.readouterr().err
    assert listed(project) == before


def test_overwriting_a_recording_spares_other_folders(project: Path, tmp_path: Path) -> None:
    before = listed(project)
    with pytest.raises(ValueError, match="expected a new folder or recon's own recording folder"):
        write_recording(project)
    assert listed(project) == before
    write_recording(tmp_path / "r")
    write_recording(tmp_path / "r")
    assert kind_of(tmp_path / "r") == "recording"
    (tmp_path / "r/notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        write_recording(tmp_path / "r")
    assert (tmp_path / "r/notes.txt").read_text() == "mine"


def write_recording(folder: Path) -> None:
    with RecordingWriter(folder, unit_ids=[1, 2], overwrite=True) as writer:
        video, responses = np.zeros((4, 2, 3), np.uint8), np.ones((2, 4), np.float32)
        writer.write_trial(0, tier="train", video=video, responses=responses)


def test_rm_leaves_what_recon_did_not_write_and_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = next((run / "tasks").iterdir())
    mine = [run / "notes.txt", run / "tasks/mine/config.yaml", task / "figure.png", run / "sub/results.csv"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (run / "empty").mkdir()
    (run / "link").symlink_to(run.parent)
    assert main(["runs", "rm", str(run), "--yes"]) == 0
    said = capsys.readouterr().out
    assert all(f"left, not written by recon: {path}" in said for path in [*mine, run / "link"])
    assert sorted(listed(run)) == sorted(path.relative_to(run).as_posix() for path in mine)
    assert (run / "empty").is_dir() and (run / "link").is_symlink() and not (run / MARKER).exists()


def test_rm_does_not_take_a_link_for_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run.parent / "latest").symlink_to(run.name)
    assert main(["runs", "rm", str(run.parent / "latest"), "--yes"]) == 2
    assert f"got a link to {run.resolve()}; name that" in capsys.readouterr().err
    assert (run.parent / "latest").is_symlink() and RunFolder.of(run).rows


def test_rm_of_the_current_folder_removes_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    assert main(["runs", "rm", ".", "--yes"]) == 0
    assert not run.exists() and not list(run.parent.iterdir())


def test_an_interrupted_removal_can_be_repeated(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, left = Path.unlink, iter(range(5))

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove(RunFolder.of(run))
    monkeypatch.undo()
    remove(RunFolder.of(run))
    assert not run.exists()


def test_export_follows_no_link_out_of_the_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(run)
    (tmp_path / "secret").write_text("secret of this machine")
    task = next((run / "tasks").iterdir())
    for place in (run / "results.csv", run / "report.html", task / "trace.jsonl", task):
        kept = place.rename(tmp_path / "kept")
        place.symlink_to(tmp_path / "secret" if kept.is_file() else kept)
        found = main(["runs", "export", str(run), str(tmp_path / "run.zip")])
        if found == 0:
            with zipfile.ZipFile(tmp_path / "run.zip") as archive:
                assert not any(b"secret" in archive.read(name) for name in archive.namelist())
                assert not any(name.startswith(f"tasks/{task.name}/") for name in archive.namelist())
        else:
            assert "got a link" in (said := capsys.readouterr().err) or "is a link" in said
        place.unlink()
        kept.rename(place)


def test_an_exported_run_is_a_run(run: Path, tmp_path: Path) -> None:
    assert main(["runs", "export", str(run), str(tmp_path / "run.zip"), "--movies"]) == 0
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        archive.extractall(tmp_path / "copy")
    assert main(["report", str(tmp_path / "copy")]) == 0


@pytest.mark.parametrize("harm", ["results.csv", "environment.json"])
def test_one_broken_run_is_named_and_the_others_listed(
    run: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(run, run.with_name("broken")))
    (broken / harm).write_bytes(b"\xff\x00{")
    assert main(["runs", "list", str(run.parent)]) == 0
    said = capsys.readouterr().out
    assert any(line.startswith(str(run)) for line in said.splitlines())
    assert f"damaged: {broken / harm}: expected" in said


def test_a_run_of_an_earlier_version_can_be_adopted(run: Path, project: Path) -> None:
    (run / MARKER).unlink()
    with pytest.raises(ValueError, match="recon runs adopt"):
        check_ours(run, "run", also="; `recon runs adopt` marks a run of an earlier version")
    assert main(["runs", "adopt", str(project)]) == 2
    assert main(["runs", "adopt", str(run)]) == 0
    assert RunFolder.of(run).rows


CHANGES: dict[str, Callable[[Path], object]] = {
    "another table": lambda run: another_table(run),
    "a flipped number on the page": lambda run: flip(run / "report.html"),
    "no page": lambda run: (run / "report.html").unlink(),
}


def another_table(run: Path) -> None:
    (run / "results.csv").write_text((run / "results.csv").read_text() + "\n")
    seal(run, ["results.csv"], of=RUN)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", CHANGES)
def test_the_page_is_current_by_content_whatever_the_clock_says(run: Path, what: str) -> None:
    page = write_report(run)
    os.utime(page, (1, 1))
    assert is_current(run), "an old date alone means nothing"
    CHANGES[what](run)
    if page.exists():
        os.utime(page, (4e9, 4e9))
    assert not is_current(run)
    assert write_report(run) == page and is_current(run)
