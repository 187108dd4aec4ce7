"""`recon data fetch` against a server on loopback: resumed, checked, locked, refused; the registry is well formed."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import multiprocessing
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from worlds.web_server import Site, serving

from recon import cli
from recon.data.public import download
from recon.data.public.catalogue import PublicFile, public_file, public_files
from recon.data.public.fetch import fetch_public

NOISE = np.random.default_rng(0).integers(0, 256, 1_000_000, dtype=np.uint8).tobytes()
OTHER = np.random.default_rng(1).integers(0, 256, 1_000_000, dtype=np.uint8).tobytes()
PART = 10 * download.CHUNK
HOME = "https://example.org/mouse"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine comes between a test and its server."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(NOISE)) as served:
        yield served


def item(site: Site, **changes: object) -> PublicFile:
    about = {"about": "a mouse", "licence": "CC BY-NC-ND 4.0", "home": HOME, "checked": "here"}
    return dataclasses.replace(PublicFile("mouse", "mouse.zip", site.url, **about), **changes)


def seen(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def fails(wanted: PublicFile, folder: Path) -> str:
    """Fetch, expect an error of one line, and return it."""
    with pytest.raises(ValueError) as caught:
        fetch_public(wanted, folder, accepted=True)
    assert "\n" not in str(caught.value) and ": expected " in str(caught.value) and not (folder / wanted.file).exists()
    return str(caught.value)


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


def test_an_interrupt_while_the_checksum_is_computed_loses_nothing(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch, "file_hash", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_public(item(site), tmp_path, accepted=True)
    monkeypatch.undo()
    assert not (tmp_path / "mouse.zip").exists()
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert len(site.asked) == 1 and seen(tmp_path) == ["mouse.zip", "mouse.zip.sha256"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "expected a file at http.*, got none .404.; look for it at https://example.org/mouse"),
        (410, "got none .410."),
        (403, "expected http.* to be public, got 403"),
        (503, "expected http.* to answer, got 503; wait a while, and run the same command again"),
        (429, "got 429; wait"),
    ],
)
def test_a_server_that_refuses(tmp_path: Path, site: Site, status: int, said: str) -> None:
    site.status = status
    assert re.search(said, fails(item(site), tmp_path)) and seen(tmp_path) == []
    site.status, site.cut = 200, PART
    fails(item(site), tmp_path)
    site.status = status
    assert re.search(said, fails(item(site), tmp_path)), "the part is kept"
    site.status = 200
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert site.asked[-1]["Range"] == f"bytes={PART}-"


def test_a_web_page_instead_of_the_file_is_not_taken_for_it(tmp_path: Path, site: Site) -> None:
    site.cut = PART
    fails(item(site), tmp_path)
    site.content, site.kind, site.tag = b"<html>maintenance</html>", "text/html; charset=utf-8", '"page"'
    assert "expected a file, got a web page" in fails(item(site), tmp_path)
    site.content, site.kind, site.tag = NOISE, "application/zip", '"one"'
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert site.sent[-1] == len(NOISE) - PART, "the part outlived the page"


def test_another_length_than_published(tmp_path: Path, site: Site) -> None:
    error = fails(item(site, size=5), tmp_path)
    assert "expected 5 bytes, got 1000000" in error and "look at https://example.org/mouse" in error
    assert fetch_public(item(site, size=len(NOISE)), tmp_path, accepted=True).read_bytes() == NOISE


def test_no_network(tmp_path: Path, site: Site) -> None:
    site.cut = PART
    fails(item(site), tmp_path)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/mouse.zip"
    note = tmp_path / "mouse.zip.partial.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "url": url}))
    error = fails(item(site, url=url), tmp_path)
    assert f"expected 127.0.0.1 to send the file, got no connection after {PART} bytes; check the network" in error
    assert (tmp_path / "mouse.zip.partial").read_bytes() == NOISE[:PART]
    assert "got no connection after 0 bytes" in fails(item(site, url=url), tmp_path / "empty")


def test_a_server_that_falls_silent(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (0.3, 0.3))
    site.slow = 1.0
    assert "run the same command again" in fails(item(site), tmp_path)
    site.slow = 0.0
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE


def test_a_proxy_of_the_environment_is_used(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{site.port}")
    behind = item(site, url="http://data.invalid/mouse.zip")
    assert fetch_public(behind, tmp_path, accepted=True).read_bytes() == NOISE
    assert site.paths == ["http://data.invalid/mouse.zip"]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert "got an unresponsive proxy" in fails(behind, tmp_path / "other")


def test_too_little_room_is_said_before_anything_arrives(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = download.shutil._ntuple_diskusage(10, 10, 999_999)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    error = fails(item(site), tmp_path)
    assert "GB of free disk, got" in error and "free some space" in error and seen(tmp_path) == []


class FullDisk(io.BytesIO):
    """A file on a disk with room for one more piece."""

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_what_has_arrived(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.cut = PART
    fails(item(site), tmp_path)
    opened = Path.open

    def full(path: Path, mode: str = "r", **options: object) -> object:
        return FullDisk() if mode == "ab" else opened(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    error = fails(item(site), tmp_path)
    assert f"got No space left on device after {PART} bytes; free some space, and run the same command" in error
    monkeypatch.undo()
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert site.asked[-1]["Range"] == f"bytes={PART}-"


def test_a_disk_that_fills_up_halfway(tmp_path: Path, site: Site) -> None:
    """A limit on the size of a file makes every larger write fail, as it fails on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
        error = fails(item(site), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "free some space, and run the same command again" in error
    done = (tmp_path / "mouse.zip.partial").stat().st_size
    assert 0 < done <= 400_000 and fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert site.asked[-1]["Range"] == f"bytes={done}-"


def test_a_folder_that_cannot_be_made(tmp_path: Path, site: Site) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"expected to make this folder, got .*; name another with --to"):
        fetch_public(item(site), tmp_path / "file" / "folder", accepted=True)


def _fetch(wanted: PublicFile, folder: Path, said: multiprocessing.Queue[str]) -> None:
    said.put(fetch_public(wanted, folder, accepted=True, say=said.put).read_bytes().hex()[:8])


def test_of_two_processes_one_waits_for_the_other(tmp_path: Path, site: Site) -> None:
    site.slow = 0.05
    context = multiprocessing.get_context("spawn")
    said: multiprocessing.Queue[str] = context.Queue()
    both = [context.Process(target=_fetch, args=(item(site), tmp_path, said)) for _ in range(2)]
    for process in both:
        process.start()
    heard = [said.get(timeout=60) for _ in range(2)]
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    while not said.empty():
        heard.append(said.get())
    assert heard.count(NOISE.hex()[:8]) == 2 and len(site.asked) == 1
    assert set(heard) <= {NOISE.hex()[:8], "mouse: another command is downloading it; waiting"}


CHILD = """
import sys
from pathlib import Path
from recon.data.public.fetch import fetch_public
from recon.data.public.catalogue import PublicFile
item = PublicFile("mouse", "mouse.zip", sys.argv[1], "a", "b", "c", "d")
fetch_public(item, Path(sys.argv[2]), accepted=True)
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_leaves_a_part_that_the_next_one_goes_on_with(tmp_path: Path, site: Site, kill: int) -> None:
    site.slow = 2.0  # forty seconds in all: however busy the machine, the signal comes before the end
    partial, final = tmp_path / "mouse.zip.partial", tmp_path / "mouse.zip"
    process = subprocess.Popen([sys.executable, "-c", CHILD, site.url, str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: partial.exists() and partial.stat().st_size > 0)
        assert not final.exists(), "nothing half-written stands at the final name"
    finally:
        process.send_signal(kill)
        process.wait(60)
    done = partial.stat().st_size
    assert 0 < done < len(NOISE) and not final.exists()
    site.slow = 0.0
    assert fetch_public(item(site), tmp_path, accepted=True).read_bytes() == NOISE
    assert site.asked[-1]["Range"] == f"bytes={done}-"


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


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


def test_the_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "fetch", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in public_files())
    assert all(entry.licence in shown and entry.home in shown for entry in public_files().values())


def test_the_registry_is_well_formed() -> None:
    known = public_files()
    assert len({entry.url for entry in known.values()}) == len(known)
    assert len({(entry.folder, entry.file) for entry in known.values()}) == len(known)
    for name, entry in known.items():
        address = urlsplit(entry.url)
        assert name == entry.name == public_file(name).name and re.fullmatch(r"[a-z0-9-]+", name)
        assert address.scheme == "https" and address.hostname and not address.query and not address.username
        assert urlsplit(entry.home).scheme == "https" and len(entry.licence) > 2 and entry.about and entry.checked
        assert Path(entry.file).name == entry.file and entry.folder in ("recordings", "weights", "movies")
        assert entry.unpack == entry.file.endswith(".zip")
        assert entry.size is None or entry.size > 0
        if entry.checksum is not None:
            algorithm, _, digits = entry.checksum.partition(":")
            assert re.fullmatch(r"[0-9a-f]+", digits) and len(digits) == 2 * hashlib.new(algorithm).digest_size


def test_the_ten_mice_of_sensorium_2023_are_where_the_configurations_look() -> None:
    dynamic = [entry for entry in public_files().values() if entry.name.startswith("dynamic")]
    assert len(dynamic) == 10 and all("BY-NC-ND" in entry.licence for entry in dynamic)
    published = (Path(__file__).parents[2] / "configs/bauer2025/published.yaml").read_text()
    assert "recordings/${encoders.fold_0.mouse}-Video-9b4f6a1a067fe51e15306b9628efea20" in published
    first = public_file("dynamic29515-10-12")
    assert first.folder == "recordings" and first.name in published
    assert first.file == "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20.zip"
    assert first.url == f"https://gin.g-node.org/pollytur/sensorium_2023_dataset/raw/master/{first.file}"


@pytest.mark.real
def test_the_shipped_checksums_are_those_of_the_published_encoders(real_data: Path) -> None:
    known = [entry for entry in public_files().values() if entry.name.startswith("sensorium2022-")]
    assert len(known) == 4
    for entry in known:
        content = (real_data / "sensorium2022_pretrained" / entry.file).read_bytes()
        assert entry.size == len(content) and entry.checksum == sha256(content)


def test_what_the_paper_needs_goes_where_its_configuration_looks() -> None:
    published = (Path(__file__).parents[2] / "configs/bauer2025/published.yaml").read_text()
    for fold in range(7):
        entry = public_file(f"bauer-fold-{fold}")
        assert f"{entry.folder}/{entry.file}" in published and f"/fold_{fold}/" in entry.url
    mask = public_file("bauer-mask-0")
    assert f"{mask.folder}/{mask.file}" in published
