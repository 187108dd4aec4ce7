"""`recon data fetch` where something goes wrong: servers that refuse, no network, full disks, kills, two at once."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds.downloads import NOISE, PART, fails, item, seen
from worlds.web_server import Site

from recon.data.public import download
from recon.data.public.catalogue import PublicFile
from recon.data.public.fetch import fetch_public


def test_an_interrupt_while_the_checksum_is_computed_loses_nothing(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("recon.data.public.fetch.hashlib.file_digest", interrupted)
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
