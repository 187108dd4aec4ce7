"""The device's share: FLOPs and bytes of a window's gradient against the device's peaks, measured in the same run."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from accounts import Account, Accounts, booked, peak_arithmetic, peak_bandwidth
from cases import Case, in_child, timed
from reporting import report
from sizes import SIZES
from torch.utils.flop_counter import FlopCounterMode

from recon.encoders.base import resolve_device
from recon.encoders.runtime.malloc import keep_freed_memory

FRAMES = 31


def window(case: Case, repeats: int) -> tuple[Accounts, float, int]:
    """Return the accounts of one window's rates and gradient, its seconds, and the FLOPs that torch counts for it."""
    keep_freed_memory()
    problem = case.problem()
    encoder, behavior = problem.observations[0].encoder, problem.observations[0].measurement.behavior
    movie = torch.rand(problem.on_canvas().shape, device=problem.device).requires_grad_(True)

    def work() -> Any:
        # Not by a call of the module: torch's counter hooks its inputs, and a leaf that is asked for must have no hook.
        return torch.autograd.grad(encoder.forward(movie, behavior).sum(), movie)

    work()
    seconds = statistics.median(timed(work)[0] for _ in range(repeats))
    with FlopCounterMode(display=False) as counter:
        work()
    return booked(work), seconds, counter.get_total_flops()


def row(name: str, account: Account, seconds: float, peaks: tuple[float, float]) -> dict[str, Any]:
    """Return a line: how much, how fast, and which share of the peaks."""
    return {
        "one window": name,
        "GFLOP": account.flops / 1e9,
        "GB moved": account.bytes / 1e9,
        "FLOP per byte": account.flops / max(account.bytes, 1),
        "s": seconds,
        "share of peak arithmetic": f"{account.flops / seconds / peaks[0]:.0%}",
        "share of bandwidth": f"{account.bytes / seconds / peaks[1]:.0%}",
    }


def measured() -> list[dict[str, Any]]:
    """Return the rows: one window with its gradient, and its kinds of operations."""
    device = resolve_device()
    peaks = peak_arithmetic(SIZES.matrix, device), peak_bandwidth(SIZES.megabytes, device)
    accounts, seconds, counted = in_child(window, Case(SIZES.divide, SIZES.neurons, FRAMES), SIZES.repeats)
    total = accounts.total
    if abs(total.flops - counted) > 1e-6 * counted:
        raise ValueError(f"FLOPs: expected torch's {counted}, got {total.flops:.0f}; book what is missing")
    rows = [row("whole, rates and gradient", total, seconds, peaks)]
    rows += [row(name, part, part.seconds, peaks) for name, part in sorted(accounts.kinds.items())]
    balance = f"{peaks[0] / 1e9:.0f} GFLOP/s, {peaks[1] / 1e9:.1f} GB/s"
    return [*rows, {"one window": f"the device's peaks: {balance}", "FLOP per byte": peaks[0] / peaks[1]}]


def test_share_of_the_device(benchmark: Any) -> None:
    """Count and time one window; kinds of operations are timed one by one, with the counting's own overhead."""
    report("arithmetic", benchmark.pedantic(measured, rounds=1))
