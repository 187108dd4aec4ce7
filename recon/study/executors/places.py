"""Places where the tasks of a run are done: the values of `--on`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import torch

from recon.encoders.base import resolve_device
from recon.errors import InputError


@dataclass(frozen=True)
class Place:
    """This process, a number of `processes` of this machine, or a Ray cluster.

    `ray` is the address of the cluster, empty for one on this machine.
    """

    processes: int = 0
    ray: str | None = None


HERE = Place()


def place_of(name: str, device: str = "auto") -> Place:
    """Return the place of a name; raises InputError for unknown names.

    Names are here, local (a process per graphics card, or per core), local:N, ray and ray://HOST:PORT.

    >>> place_of("local:2").processes, place_of("ray://head:10001").ray
    (2, 'ray://head:10001')
    """
    found = re.fullmatch(r"here|local(?::(\d+))?|ray(?:://[^/\s]+)?", name)
    if not found or found[1] == "0":
        raise InputError(
            f"--on: expected here, local, local:N with N processes, ray or ray://HOST:PORT, got {name}; correct it"
        )
    if name == "here":
        return HERE
    if name.startswith("ray"):
        return Place(ray="" if name == "ray" else name)
    cards = torch.cuda.device_count() if resolve_device(device).type == "cuda" else 0
    return Place(int(found[1] or cards or len(os.sched_getaffinity(0))))


def cards_of(device: torch.device) -> tuple[str, ...]:
    """Return the graphics cards over which processes are spread; none for the CPU or a single named card.

    >>> cards_of(torch.device("cpu")), cards_of(torch.device("cuda:1"))
    ((), ())
    """
    if device.type != "cuda" or device.index is not None:
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(visible.split(",") if visible else map(str, range(torch.cuda.device_count())))
