"""Results on disk: complete or absent, whatever happens."""

from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path

import pytest

from recon.files import digest, disk_full, write_bytes, write_json, write_table
from recon.files.locks import one_writer
from recon.study.store import Store


def filled(store: Store, key: str, text: str = "hello") -> Store:
    folder = store.partial(key)
    (folder / "row.json").write_text(json.dumps({"rows": [{"key": key}]}))
    (folder / "movie.h5").write_text(text)
    (folder / "state.safetensors").write_text("state")
    return store


def test_a_published_task_is_complete_and_without_its_checkpoint(tmp_path: Path) -> None:
    store = filled(Store(tmp_path), "a")
    assert not store.complete("a")
    folder = store.publish("a", drop=["state.safetensors"])
    assert store.complete("a") and sorted(p.name for p in folder.iterdir()) == ["manifest.json", "movie.h5", "row.json"]
    assert list(store.rows(["a", "b"])) == [{"key": "a"}]
    assert not (tmp_path / "partial" / "a").exists()


def test_what_a_killed_write_left_is_not_published(tmp_path: Path) -> None:
    store = filled(Store(tmp_path), "a")
    (store.partial("a") / ".state.safetensors.4711").write_text("half a st")
    folder = store.publish("a", drop=["state.safetensors"])
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "movie.h5", "row.json"]


@pytest.mark.parametrize("harm", ["truncate", "remove", "manifest"])
def test_a_harmed_task_is_not_complete_and_can_be_done_again(tmp_path: Path, harm: str) -> None:
    store = filled(Store(tmp_path), "a")
    folder = store.publish("a")
    match harm:
        case "truncate":
            (folder / "movie.h5").write_text("hel")
        case "remove":
            (folder / "movie.h5").unlink()
        case "manifest":
            (folder / "manifest.json").write_text("{")
    assert not store.complete("a") and list(store.rows(["a"])) == []
    filled(store, "a").publish("a")
    assert store.complete("a")


def test_a_failure_while_publishing_leaves_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(Store(tmp_path), "a")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        store.publish("a")
    monkeypatch.undo()
    assert not store.complete("a") and not store.directory("a").exists()
    store.publish("a")
    assert store.complete("a")


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.csv"
    write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_equal_content_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_bytes(path, b"same")
    os.utime(path, (1, 1))
    write_bytes(path, b"same")
    assert path.stat().st_mtime == 1


def test_tables_have_empty_fields_for_what_is_undefined(tmp_path: Path) -> None:
    rows = [{"a": 1.5, "b": float("nan"), "c": None}, {"a": float("inf"), "b": "x, y", "other": 3}]
    write_table(tmp_path / "t.csv", rows, ["a", "b", "c"])
    with (tmp_path / "t.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [{"a": "1.5", "b": "", "c": ""}, {"a": "", "b": "x, y", "c": ""}]


def test_json_has_null_for_what_is_undefined(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.0], "b": (2,)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.0], "b": [2]}


def test_tasks_retire_and_return(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in "ab":
        filled(store, key).publish(key)
    store.select(["a"])
    assert store.complete("a") and not store.complete("b") and (tmp_path / "retired" / "b").is_dir()
    store.select(["b"])
    assert store.complete("b") and not store.complete("a")


def test_keys_name_content_not_order() -> None:
    assert digest({"a": [1, 2], "b": None}) == digest({"b": None, "a": [1, 2]})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    with one_writer(tmp_path), pytest.raises(ValueError, match="expected no other writer"), one_writer(tmp_path):
        pass
    with one_writer(tmp_path):
        pass


def test_a_full_disk_is_recognised_behind_other_errors() -> None:
    assert disk_full(OSError(errno.ENOSPC, "x")) and disk_full(OSError(errno.EFBIG, "x"))
    assert disk_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    try:
        try:
            raise OSError(errno.ENOSPC, "x")
        except OSError as error:
            raise ValueError("writing failed") from error
    except ValueError as error:
        assert disk_full(error)
    assert not disk_full(OSError(errno.ENOENT, "x")) and not disk_full(None)
