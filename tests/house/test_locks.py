"""Locks: one mechanism, released by the system when the holder is killed."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recon.data.writer import RecordingWriter
from recon.errors import InputError
from recon.files.locks import one_at_a_time, one_writer, take
from recon.study.folders import check_run
from recon.study.settings import Row, Settings
from recon.train.sweep import train

HOLDER = """
import sys, time
from pathlib import Path
from recon.files.locks import take
lock = take(Path(sys.argv[1]))
print(lock is not None, flush=True)
time.sleep(60)
"""


@contextmanager
def held_elsewhere(lock: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_lock_of_a_folder_goes_with_its_killed_writer(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / ".lock"):
        with pytest.raises(ValueError, match="expected no other writer, got a command that is running"):
            one_writer(tmp_path).__enter__()
        assert take(tmp_path / ".lock") is None
    with one_writer(tmp_path):
        pass
    assert (tmp_path / ".lock").read_bytes() == b"", "the file stays, empty"


def test_a_waiting_process_says_so_once_and_goes_on_when_the_holder_is_killed(tmp_path: Path) -> None:
    said: list[str] = []
    with held_elsewhere(tmp_path / ".file.lock") as holder:

        def waiting() -> None:
            said.append("waiting")
            holder.kill()

        with one_at_a_time(tmp_path / "file", waiting=waiting):
            pass
    assert said == ["waiting"] and (tmp_path / ".file.lock").exists()


def test_there_is_no_other_mechanism() -> None:
    root = Path(__file__).parents[2]
    files = [path for room in ("recon", "encoders", "priors") for path in (root / room).rglob("*.py")]
    assert [path.name for path in files if "fcntl" in path.read_text("utf-8")] == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_named_and_nothing_stays_behind(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    said = rf"expected a disk that locks files, got {re.escape(os.strerror(number))}; choose a folder on a local disk"
    for made in (one_writer(tmp_path / "runs/new"), one_at_a_time(tmp_path / "mouse.nwb")):
        with pytest.raises(InputError, match=said):
            made.__enter__()
    with pytest.raises(InputError, match=said):
        RecordingWriter(tmp_path / "recordings/mouse", unit_ids=[1])
    assert [path for path in tmp_path.rglob("*") if path.name != "recordings"] == []


def test_a_folder_that_can_only_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: object, **options: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("os.mkdir", opened)
    with pytest.raises(InputError, match=r"run: expected a folder that can be written to, got Read-only .*run=FOLDER"):
        one_writer(tmp_path / "run").__enter__()


def test_a_run_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row("mean", {"name": "mean"})
    asked = Settings(tmp_path / "disk/runs/new", tmp_path / "mouse", {"seed0": {"name": "core_readout"}}, (row,))
    check_run(asked)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(InputError, match=rf"^run: expected a folder .*, got .*/new in {tmp_path}, .* run=FOLDER"):
        check_run(asked)
    with pytest.raises(InputError, match=rf"^output: expected a folder .*, got {tmp_path}/weights in .* output=FOLDER"):
        train("encoder", {"output": str(tmp_path / "weights/mine.safetensors")})
