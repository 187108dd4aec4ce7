"""A Ray that `--on ray` starts on this machine is heard by this machine alone, in a process of its own per test."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'recon[cluster]'"),
]

RUN = """
import json, os, sys, time
from functools import partial
from pathlib import Path
from test_ray_loopback import listening, processes
from worlds.jobs import Jobs
from recon.study.executors.ray import RayCrew
from recon.study.settings import Share

outcomes = RayCrew(partial(Jobs, Path(sys.argv[1])), Share()).run([0, 1])
print(json.dumps(next(outcomes).line))
time.sleep(3)  # agents of a node open their ports later than the node
mine = processes(os.getpid())
print(json.dumps([len(mine), listening(mine)]))
outcomes.close()
"""
REFUSED = """
import ray
from recon.study.executors.ray import connected
connected("")
"""
FILES = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6, "udp": socket.AF_INET, "udp6": socket.AF_INET6}
LISTENS, UNCONNECTED = "0A", "07"


def processes(root: int) -> list[int]:
    """Return a process and all below it; those that end meanwhile are left out."""
    below: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{root}/task").glob("*/children"):
            below += map(int, task.read_text().split())
    return [root, *(inner for child in below for inner in processes(child))]


def files_of(process: int) -> Iterator[str]:
    """Yield what the open files of a process are."""
    with contextlib.suppress(OSError):
        for place in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield str(place.readlink())


def listening(owners: list[int]) -> list[str]:
    """Return the local addresses at which processes accept connections or packets."""
    held = {name for owner in owners for name in files_of(owner)}
    found = []
    for name, family in FILES.items():
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            open_to_all = words[3] == (LISTENS if "tcp" in name else UNCONNECTED)
            if open_to_all and f"socket:[{words[9]}]" in held:
                found.append(address_of(words[1].partition(":")[0], family))
    return found


def address_of(words: str, family: socket.AddressFamily) -> str:
    """Return an address of /proc/net, whose words of four bytes are in the order of the machine."""
    raw = b"".join(int(words[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(words), 8))
    return socket.inet_ntop(family, raw)


def is_loopback(address: str) -> bool:
    found = ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def python(script: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    tests = Path(__file__).parents[1]
    path = os.pathsep.join(map(str, (tests.parent, tests, tests / "slow")))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = inherited | {"PYTHONPATH": path} | more
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_addresses_are_read_and_judged(tmp_path: Path) -> None:
    with socket.socket() as wide, socket.socket() as near, socket.socket(socket.AF_INET6) as both:
        for one, address in ((wide, "0.0.0.0"), (near, "127.0.0.1"), (both, "::ffff:127.0.0.1")):
            one.bind((address, 0))
            one.listen()
        found = listening([os.getpid()])
    assert {"0.0.0.0", "127.0.0.1", "::ffff:127.0.0.1"} <= set(found)
    assert [is_loopback(name) for name in ("0.0.0.0", "::", "127.0.0.1", "::1", "::ffff:127.0.0.1", "192.0.2.2")] == [
        *(False, False, True, True, True, False)
    ]


@pytest.mark.parametrize("named", [{}, {"RAY_ADDRESS": "local"}], ids=str)
def test_every_port_of_a_ray_of_this_machine_is_on_loopback(named: dict[str, str], tmp_path: Path) -> None:
    ran = python(RUN, tmp_path, **named)
    assert ran.returncode == 0, ran.stderr
    line, (count, addresses) = map(json.loads, ran.stdout.splitlines())
    assert line in ("job 0", "job 1") and count >= 5, "the store, the node and its workers are among the processes"
    assert len(addresses) >= 5 and [address for address in addresses if not is_loopback(address)] == []


def test_a_process_in_which_ray_would_open_its_ports_outward_is_refused() -> None:
    """Where Ray was imported before, its address is fixed; without a network it is on loopback anyway."""
    ran = python(REFUSED)
    last = ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else ""
    assert ran.returncode == 0 or "InputError: --on ray: expected to start Ray on 127.0.0.1, got " in last
    assert (ran.returncode == 0) == (python("import ray; print(ray.util.get_node_ip_address())").stdout[:4] == "127.")
