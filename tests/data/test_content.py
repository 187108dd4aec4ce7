"""A file counts by its content: hashes of all bytes, remembered only as long as nothing can have changed unseen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds.published import edit

from recon.cli import main
from recon.data import content
from recon.data.content import content_hashes, content_of, distrust
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.methods import Ridge
from recon.methods.training_set import TrainingSet

OLD = 10**9
"""Seconds since 1970 of files that nobody has touched for long."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder of manifests, and a size from which folders are remembered that the smallest one has."""
    monkeypatch.setenv("RECON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RECON_VERIFY_SINCE", "")
    monkeypatch.setattr(content, "SMALL", 0)
    return tmp_path / "cache"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock that hashing reads ahead, so that files written just now are old enough to be trusted."""
    clock = content.time.time_ns

    def set_ahead(seconds: float) -> None:
        monkeypatch.setattr(content, "_now", lambda: clock() + int(seconds * 1e9))

    set_ahead(10)
    return set_ahead


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose bytes were read."""
    names: list[str] = []
    hashed = content._hash

    def counted(path: Path, *rest: object) -> str:
        names.append(path.name)
        return hashed(path, *rest)

    monkeypatch.setattr(content, "_hash", counted)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files in two folders."""
    (tmp_path / "files/inner").mkdir(parents=True)
    for name, text in (("a", "one"), ("b", "two"), ("inner/c", "three")):
        (tmp_path / "files" / name).write_text(text)
    return tmp_path / "files"


def rewritten(file: Path, text: str) -> None:
    """Write other bytes of the same number into a file and set its modification time back."""
    stat = file.stat()
    assert len(text) == stat.st_size
    file.write_text(text)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def same_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend a file system whose change times and inodes say nothing."""
    state = content._state
    monkeypatch.setattr(content, "_state", lambda stat: (*state(stat)[:2], 0, 0, 0))


def test_neurons_in_other_order_and_changes_behind_the_head_are_another_recording(published) -> None:
    first, second, third = (published(folder=name, neurons=40, frames=60) for name in "abc")
    assert (first / "data/responses/0.npy").stat().st_size > 2 * 4096
    edit(second, "responses", 3, lambda array: array[::-1])
    edit(third, "responses", 0, lambda array: np.vstack([array[:-1], array[-1:] + 1]))
    opened = [SensoriumRecording(root) for root in (first, second, third)]
    assert len({recording.fingerprint() for recording in opened}) == 3
    learnt = [recording.learning_fingerprint() for recording in opened]
    assert learnt[0] == learnt[1] != learnt[2], "trial 3 is a test trial, trial 0 a training trial"


def test_a_ridge_is_learnt_again_from_training_responses_that_changed_behind_the_head(published, tmp_path) -> None:
    root = published(neurons=40, frames=60)

    def learnt() -> Path | None:
        recording = open_recording(root)
        training = TrainingSet(recording, torch.ones(40, dtype=torch.bool), tmp_path / "artefacts", frames=60)
        return Ridge().fit(training).artefact

    first = learnt()
    edit(root, "responses", 3, lambda array: array[::-1])
    assert learnt() == first, "test trials are not learnt from"
    edit(root, "responses", 0, lambda array: np.vstack([array[:20], array[:19:-1]]))
    assert learnt() != first


def test_whatever_learning_sees_counts_and_nothing_else(published) -> None:
    root = published()
    about = root / "meta/trials/captions.jsonl"
    lines = [{"trial": 0, "captions": ["a bird"]}, {"trial": 3, "captions": ["a fish"]}]

    def found(**captions: str) -> str:
        texts = [line | {"captions": [captions.get(f"of_{line['trial']}", line["captions"][0])]} for line in lines]
        about.write_text("\n".join(json.dumps(line) for line in texts))
        return SensoriumRecording(root).learning_fingerprint()

    first = found()
    assert found(of_3="a whale") == first != found(of_0="a whale")
    (root / "meta/recording.json").write_text(json.dumps({"name": "other"}))
    assert found() == first
    seen = {first}
    header = {"acquisition": {"rate": 8.0, "phase": [0.0]}}
    for name, array in (
        ("meta/recording.json", None),
        ("meta/neurons/area.npy", np.array(["V1"] * 7)),
        ("meta/neurons/cell_motor_coordinates.npy", np.ones((7, 3))),
        ("meta/neurons/plane.npy", np.zeros(7, np.int64)),
        ("meta/statistics/responses/all/std.npy", np.ones((7, 45), np.float32)),
        ("meta/trials/video_ids.npy", np.arange(5)),
    ):
        (root / name).write_text(json.dumps(header)) if array is None else np.save(root / name, array)
        seen.add(found())
    assert len(seen) == 7


def test_links_count_by_what_they_point_to(published, tmp_path) -> None:
    root = published()
    whole = SensoriumRecording(root).fingerprint()
    (root / "data/responses").rename(tmp_path / "elsewhere")
    (root / "data/responses").symlink_to(tmp_path / "elsewhere")
    (root / "data/videos/0.npy").rename(tmp_path / "video.npy")
    (root / "data/videos/0.npy").symlink_to(tmp_path / "video.npy")
    (root / "data/again").symlink_to(root / "data")
    (root / "data/gone").symlink_to(tmp_path / "nowhere")
    assert SensoriumRecording(root).fingerprint() == whole, "a link to a folder above is not followed for ever"
    np.save(tmp_path / "elsewhere/0.npy", np.load(tmp_path / "elsewhere/0.npy")[::-1])
    assert SensoriumRecording(root).fingerprint() != whole


@pytest.mark.usefixtures("later")
def test_hashes_are_remembered_until_a_file_changes(cache: Path, folder: Path, read: list[str]) -> None:
    first = content_hashes(folder)
    assert sorted(first) == ["a", "b", "inner/c"] and sorted(read) == ["a", "b", "c"]
    assert first == content_hashes(folder) and len(read) == 3
    (folder / "b").write_text("six")
    assert content_hashes(folder)["b"] != first["b"] and read[3:] == ["b"]
    (folder / "b").unlink()
    assert sorted(content_hashes(folder)) == ["a", "inner/c"] and len(read) == 4


@pytest.mark.usefixtures("later", "cache")
def test_the_same_size_and_time_do_not_hide_a_change(folder: Path) -> None:
    first = content_of(folder)
    rewritten(folder / "a", "two")
    second = content_of(folder)
    assert second != first
    other = folder.with_name("other")
    other.write_text("six")
    os.utime(other, ns=(0, (folder / "a").stat().st_mtime_ns))
    other.replace(folder / "a")
    assert content_of(folder) not in (first, second)


@pytest.mark.usefixtures("cache")
def test_verify_finds_what_no_time_tells(
    folder: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    same_state(monkeypatch)
    first = content_of(folder)
    rewritten(folder / "a", "two")
    assert content_of(folder) == first, "nothing tells it from the old one"
    later(20)
    distrust()
    second = content_of(folder)
    assert second != first
    monkeypatch.setenv("RECON_VERIFY_SINCE", "")
    assert content_of(folder) == second, "the manifest was renewed"


@pytest.mark.usefixtures("cache")
def test_a_file_hashed_while_young_is_read_again(
    folder: Path, read: list[str], later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes within one tick of the clock leave the same times: the second comes after the file was hashed."""
    later(0)
    same_state(monkeypatch)
    first = content_of(folder)
    rewritten(folder / "a", "two")
    assert content_of(folder) != first
    later(10)
    content_of(folder), read.clear(), content_of(folder)
    assert read == []
    later(-60)
    content_of(folder)
    assert len(read) == 3, "hashed in what is now the future: the clock was set back"


def spoilt(manifest: Path) -> Iterator[bytes]:
    """Damaged and hostile forms of a manifest."""
    good = json.loads(manifest.read_bytes())
    yield from (b"", b"\0" * 300, b"[]", b"{}", b"null", b"[" * 100_000, b'{"files": 3, "format": "recon-content-1"}')
    yield json.dumps(good | {"format": "other"}).encode()
    yield manifest.read_bytes().replace(good["files"]["a"][-1].encode(), b"0" * 64)
    for files in ({"a": [1]}, {"a": [0] * 7}, {"a": [True] * 6 + ["0" * 64]}, {"a": [3, 0, 0, 0, 0, 0, "../x"]}, []):
        yield json.dumps(good | {"files": files, "sum": content.digest(files)}).encode()


@pytest.mark.usefixtures("later")
def test_a_damaged_manifest_only_costs_reading_again(cache: Path, folder: Path, read: list[str]) -> None:
    first = content_hashes(folder)
    (manifest,) = (cache / "content").iterdir()
    whole = manifest.read_bytes()
    for damage in spoilt(manifest):
        manifest.write_bytes(damage), read.clear()
        assert content_hashes(folder) == first and len(read) == 3
        assert json.loads(manifest.read_bytes())["files"].keys() == json.loads(whole)["files"].keys()
    manifest.unlink(), manifest.mkdir(), read.clear()
    assert content_hashes(folder) == first and len(read) == 3


@pytest.mark.usefixtures("later")
def test_nothing_is_written_beside_what_is_read_and_an_unusable_cache_costs_nothing_else(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, files = content_hashes(folder), sorted(folder.rglob("*"))
    for path in (folder, folder / "inner"):
        path.chmod(0o500)
    assert content_hashes(folder) == first
    for path in (folder, folder / "inner"):
        path.chmod(0o700)
    assert sorted(folder.rglob("*")) == files
    cache.rename(cache.with_name("before"))
    cache.write_text("a file in the place of the folder")
    assert content_hashes(folder) == first and cache.is_file()
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    monkeypatch.delenv("RECON_CACHE"), monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert content_hashes(folder) == first


def test_the_cache_is_where_the_desktop_keeps_its_caches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECON_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert str(content._manifest(folder)).startswith("/somewhere/cache/recon/content/")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert content._manifest(folder).parent == Path.home() / ".cache/recon/content"


@pytest.mark.usefixtures("cache", "later")
def test_what_was_hashed_when_the_user_interrupts_is_kept(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = content._hash

    def interrupted(path: Path, *rest: object) -> str:
        if path.name == "c":
            raise KeyboardInterrupt
        return counted(path, *rest)

    monkeypatch.setattr(content, "THREADS", 1)
    monkeypatch.setattr(content, "_files", lambda *_: ((f, f.stat()) for f in sorted(folder.rglob("?"))))
    monkeypatch.setattr(content, "_hash", interrupted)
    with pytest.raises(KeyboardInterrupt):
        content_hashes(folder)
    monkeypatch.setattr(content, "_hash", counted)
    done = list(read)
    assert sorted(content_hashes(folder)) == ["a", "b", "inner/c"]
    assert sorted(read) == ["a", "b", "c"] and "c" not in done


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=r"a: expected a file that can be read, got Permission denied; make it"):
        content_hashes(folder / "a")


def test_verify_reaches_the_hashes_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["benchmark"],
        ["reconstruct"],
        ["ablate"],
        ["rerun"],
        ["identify"],
        ["language"],
        ["train", "encoder"],
    ):
        monkeypatch.setenv("RECON_VERIFY_SINCE", "")
        main([*arguments, str(tmp_path / "none"), "--verify"])
        assert content._since() > 0, arguments
    capsys.readouterr()
