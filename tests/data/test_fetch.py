"""`recon data fetch` against a server on loopback: resumed, checked, unpacked; what was kept is compared."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from worlds.downloads import HOME, NOISE, OTHER, PART, fails, item, packed, seen, sha256
from worlds.web_server import Site

from recon import cli
from recon.data.public.fetch import fetch_public


def test_a_file_arrives_whole_and_is_only_checked_the_second_time(tmp_path: Path, site: Site) -> None:
    path = fetch_public(item(site), tmp_path / "new" / "folder", accepted=True)
    assert path == tmp_path / "new/folder/mouse.zip" and path.read_bytes() == NOISE
    assert seen(path.parent) == ["mouse.zip", "mouse.zip.sha256"]
    assert (path.parent / "mouse.zip.sha256").read_text() == f"{hashlib.sha256(NOISE).hexdigest()}  mouse.zip\n"
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert fetch_public(item(site), path.parent, accepted=True) == path and len(site.asked) == 1


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_nothing_is_asked_for_before_the_licence_is_accepted(tmp_path: Path, site: Site) -> None:
    with pytest.raises(ValueError, match="mouse: expected its licence to be accepted, got no --accept-licence; read"):
        fetch_public(item(site), tmp_path / "new", accepted=False)
    assert not site.asked and not (tmp_path / "new").exists()


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path, site: Site) -> None:
    site.cut = PART
    error = fails(item(site), tmp_path)
    assert f"got a broken connection after {PART} bytes" in error and "run the same command again" in error
    assert seen(tmp_path) == ["mouse.zip.partial", "mouse.zip.partial.json"]
    site.cut = PART
    assert f"after {2 * PART} bytes" in fails(item(site), tmp_path)
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert [headers.get("Range") for headers in site.asked] == [None, f"bytes={PART}-", f"bytes={2 * PART}-"]
    assert site.asked[1]["If-Range"] == '"one"' and site.asked[0]["Accept-Encoding"] == "identity"
    assert site.sent == [PART, PART, len(NOISE) - 2 * PART], "no byte was asked for twice"
    assert seen(tmp_path) == ["mouse.zip", "mouse.zip.sha256"]


@pytest.mark.parametrize("conditional", [True, False], ids=["knows If-Range", "ignores If-Range"])
@pytest.mark.parametrize("marked", ["tag", "modified"])
def test_a_file_that_changed_meanwhile_is_not_glued_together(
    tmp_path: Path, site: Site, marked: str, conditional: bool
) -> None:
    days = ("Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT")
    versions = ('"one"', '"two"') if marked == "tag" else days
    site.tag, site.conditional, site.cut = "", conditional, PART
    setattr(site, marked, versions[0])
    fails(item(site), tmp_path)
    site.content = OTHER
    setattr(site, marked, versions[1])
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == OTHER
    assert site.asked[1]["If-Range"] == versions[0]


def test_a_file_that_became_shorter_than_what_has_arrived(tmp_path: Path, site: Site) -> None:
    site.cut, site.conditional = PART, False
    fails(item(site), tmp_path)
    site.content = OTHER[:1000]
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == OTHER[:1000]
    assert [headers.get("Range") for headers in site.asked] == [None, f"bytes={PART}-", None]


@pytest.mark.parametrize("mark", ["", 'W/"weak"'])
def test_a_server_that_marks_no_version_is_asked_for_all_of_it(tmp_path: Path, site: Site, mark: str) -> None:
    site.tag, site.cut = mark, PART
    fails(item(site), tmp_path)
    site.content = OTHER
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == OTHER
    assert [headers.get("Range") for headers in site.asked] == [None, None]


def test_a_server_without_ranges_sends_it_all(tmp_path: Path, site: Site) -> None:
    site.ranges, site.cut = False, PART
    fails(item(site), tmp_path)
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert site.asked[1]["Range"] == f"bytes={PART}-" and site.sent == [PART, 1_000_000]


def test_a_server_that_does_not_say_how_long_it_is(tmp_path: Path, site: Site) -> None:
    site.length = False
    assert fetch_public(item(site, checksum=sha256(NOISE)), tmp_path, accepted=True).read_bytes() == NOISE


def test_another_address_does_not_go_on_with_the_part_of_this_one(tmp_path: Path, site: Site) -> None:
    site.cut = PART
    fails(item(site), tmp_path)
    assert fetch_public(item(site, url=f"{site.url}?v=2"), tmp_path, accepted=True).read_bytes() == NOISE
    assert "Range" not in site.asked[1]


def test_a_part_that_is_whole_already_is_not_asked_for(tmp_path: Path, site: Site) -> None:
    site.cut = PART
    fails(item(site), tmp_path)
    (tmp_path / "mouse.zip.partial").write_bytes(NOISE)
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE and len(site.asked) == 1


def test_a_damaged_note_starts_anew(tmp_path: Path, site: Site) -> None:
    for note in ("", "[1]", '{"url": 3}'):
        (tmp_path / "mouse.zip.partial").write_bytes(b"part")
        (tmp_path / "mouse.zip.partial.json").write_text(note)
        assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
        (tmp_path / "mouse.zip").unlink()


def test_a_wrong_checksum_is_never_used(tmp_path: Path, site: Site) -> None:
    for checksum in (sha256(OTHER), "md5:" + hashlib.md5(OTHER).hexdigest()):
        error = fails(item(site, checksum=checksum), tmp_path)
        assert f"expected the checksum {checksum} (published), got {checksum.split(':')[0]}:" in error
        assert "it was removed" in error and HOME in error and seen(tmp_path) == []
    right = "md5:" + hashlib.md5(NOISE).hexdigest()
    assert fetch_public(item(site, checksum=right), tmp_path, accepted=True).read_bytes() == NOISE


def test_the_first_checksum_is_kept_and_compared_later(tmp_path: Path, site: Site) -> None:
    path = fetch_public(item(site), tmp_path, accepted=True)
    path.write_bytes(OTHER)
    with pytest.raises(ValueError, match=r"kept at the first download in .*mouse\.zip\.sha256\), got .*; delete .*zip"):
        fetch_public(item(site), tmp_path, accepted=True)
    assert path.read_bytes() == OTHER, "what the user has is the user's"
    path.unlink()
    site.content, site.tag = OTHER, '"two"'
    assert "kept at the first download" in fails(item(site), tmp_path)
    assert "delete that record if the publisher has changed the file" in fails(item(site), tmp_path)
    (tmp_path / "mouse.zip.sha256").unlink()
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == OTHER


def test_an_archive_is_unpacked_and_may_be_deleted_then(tmp_path: Path, site: Site) -> None:
    site.content = packed({"mouse-1/data/a.npy": b"a", "mouse-1/meta/b.npy": b"b", "__MACOSX/x": b"c"})
    wanted = item(site, file="mouse-1.zip", unpack=True)
    assert fetch_public(wanted, tmp_path, accepted=True) == tmp_path / "mouse-1"
    assert (tmp_path / "mouse-1/data/a.npy").read_bytes() == b"a" and len(list((tmp_path / "mouse-1").iterdir())) == 2
    assert fetch_public(wanted, tmp_path, accepted=True) == tmp_path / "mouse-1"
    (tmp_path / "mouse-1.zip").unlink()
    assert fetch_public(wanted, tmp_path, accepted=True) == tmp_path / "mouse-1" and len(site.asked) == 1


def test_what_is_no_archive_is_removed_and_its_checksum_not_kept(tmp_path: Path, site: Site) -> None:
    assert "expected a zip archive, got 1000000 bytes of something else" in fails(item(site, unpack=True), tmp_path)
    assert seen(tmp_path) == []
    site.content, site.tag = packed({"a.npy": b"a"}), '"two"'
    assert (fetch_public(item(site, unpack=True), tmp_path, accepted=True) / "a.npy").read_bytes() == b"a"


def test_an_archive_that_leads_elsewhere_is_not_unpacked(tmp_path: Path, site: Site) -> None:
    site.content = packed({"../evil.npy": b"a"})
    with pytest.raises(ValueError, match="expected names inside"):
        fetch_public(item(site, unpack=True), tmp_path / "in", accepted=True)
    assert not (tmp_path / "evil.npy").exists() and not (tmp_path / "in/mouse").exists()


def test_the_command_prints_the_licence_and_fetches(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.content = packed({"data/a.npy": b"a"})
    known = {"mouse": item(site, unpack=True), "mask": item(site, name="mask", file="mask.npy", folder="weights")}
    monkeypatch.setattr("recon.data.public.catalogue.public_files", lambda: known)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "fetch", "mouse"]) == 2
    shown = capsys.readouterr()
    assert "licence: CC BY-NC-ND 4.0" in shown.out and not site.asked
    assert shown.err.count("\n") == 1 and "run the same command with --accept-licence" in shown.err
    assert cli.main(["data", "fetch", "mouse", "mask", "--accept-licence"]) == 0
    shown = capsys.readouterr()
    assert "unpacked: recordings/mouse\n" in shown.out and "file: weights/mask.npy\n" in shown.out and not shown.err
    assert cli.main(["data", "fetch", "mouse", "--to", "there", "--accept-licence"]) == 0
    assert (tmp_path / "there/mouse/a.npy").read_bytes() == b"a"
    assert cli.main(["data", "fetch", "mous", "--accept-licence"]) == 2
    assert "did you mean 'mouse'" in capsys.readouterr().err
    assert cli.main(["data", "fetch"]) == 2
    assert "`recon data fetch --list` shows them all" in capsys.readouterr().err
