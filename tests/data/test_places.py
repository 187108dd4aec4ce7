"""Where a recording is: the current folder, links, odd names, a disk that can only be read."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from worlds import formats as worlds
from worlds import formats_nwb
from worlds.sessions import films, session_of

from recon.cli import main
from recon.data.open import open_recording
from recon.errors import InputError


@pytest.fixture(scope="module")
def experanto(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_experanto(tmp_path_factory.mktemp("source") / "mouse", films(30.0)[:3])


def copied(source: Path, to: Path) -> Path:
    shutil.copytree(source, to)
    return to


def test_the_current_folder_its_parent_and_links_are_opened(
    experanto: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mouse = copied(experanto, tmp_path / "day: 1/mouse #3")
    monkeypatch.chdir(mouse)
    assert main(["data", "check", "."]) == 0
    assert [path.name for path in mouse.parent.iterdir() if path.is_dir()].count("mouse #3.recording") == 1
    monkeypatch.chdir(mouse / "screen")
    beside = mouse.parent / "mouse #3.recording"
    assert open_recording("..").path == open_recording("../").path == beside
    (tmp_path / "link").symlink_to(mouse)
    linked = open_recording(tmp_path / "link")
    assert linked.path == tmp_path / "link.recording" and linked.tiers == open_recording(mouse).tiers
    monkeypatch.chdir(beside)
    assert open_recording(".").path == open_recording(Path()).path == beside


def test_the_only_file_of_a_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "session").mkdir()
    formats_nwb.write_allen(tmp_path / "session/510859641.nwb", seconds=40.0)
    monkeypatch.chdir(tmp_path / "session")
    first = open_recording(".")
    assert first.path == tmp_path / "session/510859641.nwb.recording"
    assert main(["data", "info", "510859641.nwb"]) == 0
    shutil.copy("510859641.nwb", "other.nwb")
    shutil.rmtree(first.path)
    with pytest.raises(InputError, match=r"expected one recording .*, got 510859641\.nwb, other\.nwb; name"):
        open_recording(".")


def test_the_home_folder_is_meant_by_a_tilde(experanto: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import recon

    monkeypatch.setenv("HOME", str(tmp_path))
    copied(experanto, tmp_path / "mouse")
    assert open_recording("~/mouse").path == tmp_path / "mouse.recording"
    movie, responses = np.random.default_rng(0).random((600, 9, 16)), np.random.default_rng(1).random((5, 600))
    np.save(tmp_path / "movie.npy", movie)
    made = recon.from_arrays("~/movie.npy", responses, degrees_per_pixel=8.0, folder="~/made", trial_frames=60)
    assert made.path == tmp_path / "made" and recon.open_recording("~/made").trials == made.trials


def refused(call: Callable[..., int], place: Path) -> Callable[..., int]:
    """Return a call of the system that finds a folder on a disk that can only be read."""

    def refusing(path: object, *arguments: object, **options: object) -> int:
        flags = arguments[0] if arguments and isinstance(arguments[0], int) else 0
        writes = call is not os.open or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and place in (Path(str(path)), *Path(str(path)).parents):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return call(path, *arguments, **options)

    return refusing


def only_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "mkdir", "rename", "replace"):
        monkeypatch.setattr(os, name, refused(getattr(os, name), place))


def test_a_disk_that_can_only_be_read_is_said_with_another_place(
    experanto: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    mouse = copied(experanto, disk / "mouse #3")
    made = open_recording(copied(experanto, disk / "done"))
    shutil.copytree(made.path, tmp_path / "zipped/one")
    shutil.make_archive(str(disk / "packed"), "zip", tmp_path / "zipped")
    before = sorted(disk.rglob("*"))
    (disk / ".done.recording.lock").unlink()
    only_read(disk, monkeypatch)
    assert open_recording(disk / "done").fingerprint() == made.fingerprint(), "nothing has to be written"
    assert made.trial(0).responses.isfinite().all()
    command = f"recon data convert '{mouse}' FOLDER"
    with pytest.raises(InputError, match=rf"can be written to, got Read-only file system; convert it .*: {command}"):
        open_recording(mouse)
    with pytest.raises(InputError, match="got Read-only file system; unpack it by hand elsewhere and name that folder"):
        open_recording(disk / "packed.zip")
    assert main(["data", "check", str(mouse)]) == 2
    assert main(["data", "convert", str(mouse), str(tmp_path / "elsewhere")]) == 0
    assert sorted(disk.rglob("*")) == [path for path in before if path.name != ".done.recording.lock"]


def test_numbers_and_names_of_a_folder_are_those_of_its_writer(experanto: Path, tmp_path: Path) -> None:
    """PyYAML reads 1e-05 as a text and a tier that is called no as false; numbers here are of YAML 1.2."""
    path, right = copied(experanto, tmp_path / "mouse"), session_of(experanto)
    meta = path / "responses/meta.yml"
    about = yaml.safe_load(meta.read_text())
    lines = [f"{name}: {value}" for name, value in about.items() if name not in ("sampling_rate", "start_time")]
    rate, start = f"{about['sampling_rate'] / 1e3}e3", "1e-05"
    meta.write_text(
        "\n".join([*lines, f"sampling_rate: {rate}", f"start_time: {start}"])
        .replace("True", "yes")
        .replace("False", "off")
        + "\n"
    )
    first = path / "screen/meta/00000.yml"
    first.write_text(yaml.safe_dump(yaml.safe_load(first.read_text()) | {"tier": "x"}).replace("tier: x", "tier: no"))
    session = session_of(path)
    np.testing.assert_allclose(session.responses.times, right.responses.times - right.responses.times[0] + 1e-5)
    assert session.shown[0].tier == "" and any("no known tier" in note for note in session.notes)
