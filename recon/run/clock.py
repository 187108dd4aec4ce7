"""Waiting for a device: seconds of a run include work that the device does asynchronously."""

from __future__ import annotations

import torch


def synchronise(device: torch.device) -> None:
    """Wait until all work queued on a device is done; the CPU queues none."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
