"""Zip archives: whole or absent, never outside their folder, no bombs; recordings open straight from them."""

from __future__ import annotations

import errno
import io
import shutil
import stat
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon.data.open import open_recording
from recon.data.public import archives
from recon.data.public.archives import unpack


def make(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name) if compression == zipfile.ZIP_STORED else name, content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def seen(folder: Path) -> list[str]:
    """Names in a folder without the empty locks."""
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def zipped(folder: Path, archive: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                opened.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
    return archive


MEMBERS = {"data/a.npy": b"first", "data/deep/b.npy": b"second", "meta/c.npy": b""}


def test_an_archive_is_unpacked_once_beside_itself(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.mouse.zip", MEMBERS)
    assert unpack(archive) == tmp_path / "a.mouse"
    assert contents(tmp_path / "a.mouse") == MEMBERS and seen(tmp_path) == ["a.mouse", "a.mouse.zip"]
    (tmp_path / "a.mouse/data/a.npy").write_bytes(b"mine")
    assert unpack(archive) == tmp_path / "a.mouse"
    assert (tmp_path / "a.mouse/data/a.npy").read_bytes() == b"mine", "the second call opens what stands there"
    assert contents(unpack(archive, tmp_path / "elsewhere" / "b")) == MEMBERS


def test_a_single_folder_inside_is_left_out(tmp_path: Path) -> None:
    nested = make(tmp_path / "m.zip", {f"mouse/{name}": content for name, content in MEMBERS.items()})
    assert contents(unpack(nested)) == MEMBERS
    one = make(tmp_path / "one.zip", {"alone.npy": b"x"})
    assert contents(unpack(one)) == {"alone.npy": b"x"}
    beside = make(tmp_path / "two.zip", {"mouse/a": b"x", "b": b"y"})
    assert contents(unpack(beside)) == {"mouse/a": b"x", "b": b"y"}


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    litter = {"__MACOSX/mouse/._a.npy": b"1", "mouse/.DS_Store": b"2", "mouse/data/._b.npy": b"3"}
    nested = make(tmp_path / "m.zip", {**{f"mouse/{name}": content for name, content in MEMBERS.items()}, **litter})
    assert contents(unpack(nested)) == MEMBERS
    with pytest.raises(ValueError, match="expected files, got an archive without any"):
        unpack(make(tmp_path / "empty.zip", {"__MACOSX/._a": b"1"}))


@pytest.mark.parametrize(
    "name",
    [
        "../evil.npy",
        "data/../../evil.npy",
        "..",
        "/evil.npy",
        "//server/share/evil.npy",
        "C:evil.npy",
        "c:/evil.npy",
        "C:\\evil.npy",
        "..\\evil.npy",
        "\\evil.npy",
        "data\\..\\..\\evil.npy",
        "../",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    archive = make(tmp_path / "in" / "m.zip", {"data/good.npy": b"1", name: b"2"}, zipfile.ZIP_STORED)
    with pytest.raises(ValueError, match=r"m\.zip: expected names inside the archive's own folder, got .*trusted"):
        unpack(archive)
    assert seen(tmp_path / "in") == ["m.zip"] and seen(tmp_path) == ["in"]


def test_a_name_with_an_end_inside_is_refused(tmp_path: Path) -> None:
    archive = make(tmp_path / "m.zip", {"data/good.npy?.txt": b"1"}, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"good.npy?", b"good.npy\0"))
    with pytest.raises(ValueError, match="expected names inside"):
        unpack(archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("data/link")
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(entry, "/etc")
        archive.writestr("data/link/passwd", "x")
    with pytest.raises(ValueError, match="expected files and folders, got the link or device 'data/link'"):
        unpack(tmp_path / "m.zip")
    assert seen(tmp_path) == ["m.zip"]


def test_a_file_gets_no_rights_from_the_archive(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("tool")
    entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o4777) << 16
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(entry, "x")
    assert (unpack(tmp_path / "m.zip") / "tool").stat().st_mode & 0o7111 == 0


def test_a_name_twice_and_a_file_where_a_folder_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(ValueError, match="expected every name once"):
        unpack(tmp_path / "twice.zip")
    with pytest.raises(ValueError, match="expected a whole zip archive"):
        unpack(make(tmp_path / "both.zip", {"a": b"1", "a/b": b"2", "c": b"3"}))
    assert seen(tmp_path) == ["both.zip", "twice.zip"]


@pytest.mark.slow
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = make(tmp_path / "bomb.zip", {f"{i}.npy": bytes(archives.SMALL) for i in range(2)})
    assert bomb.stat().st_size < archives.SMALL / 500
    with pytest.raises(ValueError, match=r"expected at most 100 bytes for one packed byte, got \d+; nothing"):
        unpack(bomb)
    assert seen(tmp_path) == ["bomb.zip"]
    zeros = make(tmp_path / "withheld.zip", {"responses.npy": bytes(archives.SMALL)})
    assert (unpack(zeros) / "responses.npy").stat().st_size == archives.SMALL, "withheld responses are zeros"


def test_members_that_overlap_count_against_the_whole_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bomb of D. Fifield (2019): a hundred names in the directory for one packed member."""
    monkeypatch.setattr(archives, "SMALL", 1000)
    noise = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", noise)
        first = archive.infolist()[0]
        for i in range(300):
            copy = zipfile.ZipInfo(f"a{i}")
            for name in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, name, getattr(first, name))
            archive.filelist.append(copy)
    with pytest.raises(ValueError, match="expected at most 100 bytes for one packed byte"):
        unpack(tmp_path / "m.zip")


def test_more_than_the_disk_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(tmp_path / "m.zip", {"a": bytes(3000)})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: archives.shutil._ntuple_diskusage(10, 10, 2999))
    with pytest.raises(ValueError, match=r"expected .* GB of free disk to unpack it, got .*free some space"):
        unpack(archive)
    assert seen(tmp_path) == ["m.zip"]


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(tmp_path / "m.zip", MEMBERS)
    opened, written = Path.open, []

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "xb" and written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.extend([path] if mode == "xb" else [])
        return opened(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ValueError, match=r"expected to unpack it to .*No space left.*free some space"):
        unpack(archive)
    assert written and seen(tmp_path) == ["m.zip"]
    monkeypatch.undo()
    assert contents(unpack(archive)) == MEMBERS


def test_a_killed_attempt_is_cleared_away(tmp_path: Path) -> None:
    archive = make(tmp_path / "m.zip", MEMBERS)
    (tmp_path / ".m.unpacking-dead" / "data").mkdir(parents=True)
    assert contents(unpack(archive)) == MEMBERS and seen(tmp_path) == ["m", "m.zip"]


def test_damage_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    whole = make(tmp_path / "m.zip", {**MEMBERS, "data/noise": noise}).read_bytes()
    damaged = {"cut": whole[:-40], "half": whole[: len(whole) // 2], "page": b"<html>sorry</html>", "empty": b""}
    damaged["flipped"] = whole.replace(noise[2000:2010], bytes(10))
    for name, content in damaged.items():
        (tmp_path / f"{name}.zip").write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}\.zip: expected a whole zip archive, got a damaged one"):
            unpack(tmp_path / f"{name}.zip")
        assert not (tmp_path / name).exists()
    assert not list(tmp_path.glob(".*unpacking*"))


@pytest.mark.slow
def test_any_damage_is_a_sentence_or_the_true_files(tmp_path: Path) -> None:
    whole = make(tmp_path / "m.zip", MEMBERS).read_bytes()
    random = np.random.default_rng(1)
    for i in range(300):
        content = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            content[place] = random.integers(0, 256)
        (tmp_path / f"{i}.zip").write_bytes(content)
        try:
            found = contents(unpack(tmp_path / f"{i}.zip", tmp_path / f"f{i}"))
        except ValueError:
            assert not (tmp_path / f"f{i}").exists()
        else:
            assert set(found.values()) <= set(MEMBERS.values()), "no content but what passed its CRC"
    assert not list(tmp_path.glob(".*unpacking*"))


def test_a_password_a_missing_archive_a_file_in_the_way(tmp_path: Path) -> None:
    locked = make(tmp_path / "locked.zip", {"a": b"1"})
    content = bytearray(locked.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(content)
    with pytest.raises(ValueError, match="expected no password"):
        unpack(locked)
    with pytest.raises(ValueError, match="expected a zip archive, got none"):
        unpack(tmp_path / "none.zip")
    (tmp_path / "m").write_text("mine")
    with pytest.raises(ValueError, match="expected room for a folder of this name, got a file"):
        unpack(make(tmp_path / "m.zip", MEMBERS))
    assert (tmp_path / "m").read_text() == "mine"


def test_two_at_once_both_get_the_folder(tmp_path: Path) -> None:
    archive = make(tmp_path / "m.zip", {f"{i}": bytes(1000) for i in range(200)})
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(contents(unpack(archive))))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 4 and seen(tmp_path) == ["m", "m.zip"]


@pytest.mark.parametrize("inside", ["", "mouse/", "another/name/"])
def test_a_recording_opens_straight_from_its_archive(tmp_path: Path, published, inside: str) -> None:
    whole = open_recording(published(folder="truth/mouse"))
    archive = zipped(tmp_path / "truth/mouse", tmp_path / "mouse-1.zip", inside)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("__MACOSX/._mouse", "x")
    first = open_recording(archive)
    assert first.fingerprint() == whole.fingerprint() and tmp_path / "mouse-1" in (first.path, first.path.parent)
    np.testing.assert_array_equal(first.trial(0).movie, whole.trial(0).movie)
    stamp = (tmp_path / "mouse-1").stat().st_mtime_ns
    assert open_recording(str(archive)).tiers == whole.tiers
    archive.unlink()
    assert open_recording(archive).tiers == whole.tiers
    assert (tmp_path / "mouse-1").stat().st_mtime_ns == stamp


def test_an_archive_without_a_recording(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    archive = make(tmp_path / "m.zip", {"a.npy": buffer.getvalue()})
    with pytest.raises(ValueError, match="expected one recording with"):
        open_recording(archive)
    with pytest.raises(ValueError, match=r"gone\.zip: expected a zip archive, got none"):
        open_recording(tmp_path / "gone.zip")


def test_another_archive_of_the_same_name_does_not_open_the_folder_of_the_first(published, tmp_path) -> None:
    archive = tmp_path / "mouse-1.zip"
    for seed in (0, 1):
        root = published(folder=f"mice/{seed}", seed=seed)
        shutil.make_archive(str(archive.with_suffix("")), "zip", root)
        if not seed:
            first = open_recording(archive).fingerprint()
            assert open_recording(archive).fingerprint() == first
    with pytest.raises(ValueError, match=r"expected the archive from which .*mouse-1 was unpacked, got one of other"):
        open_recording(archive)
    assert open_recording(archive.with_suffix("")).fingerprint() == first
    shutil.rmtree(archive.with_suffix(""))
    assert open_recording(archive).fingerprint() != first
