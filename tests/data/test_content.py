"""A file counts by its content: hashes of all bytes, remembered only as long as nothing can have changed unseen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recon.data import content
from recon.data.content import content_hashes, content_of, distrust
from recon.errors import InputError

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
    state = content.state_of
    monkeypatch.setattr(content, "state_of", lambda stat: (*state(stat)[:2], 0, 0, 0))


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
