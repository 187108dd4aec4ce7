"""The published loop, plainly written, against ours: the same work, the same weights, the same movie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from cases import Case, Worker, in_child, iteration, peak_mib, steps_of, timed, tracking, windows_of, worlds
from reporting import report
from sizes import SIZES, say

from recon import config
from recon.encoders.runtime.malloc import keep_freed_memory

Runs = dict[str, tuple[str, bool]]
RUNS: Runs = {
    "plain, weight gradients": ("weight gradients", False),
    "plain, frozen": ("frozen", False),
    "ours": ("ours", True),
}
"""What runs, and whether its process keeps freed memory."""
CONTROL: Runs = {"plain, frozen, freed memory kept": ("frozen", True)}
"""Afterwards and alone: four processes of the published widths fill 24 GiB."""
TRACKED_EVERY = 10
CASE = Case(SIZES.divide, SIZES.neurons, SIZES.frames)


def interleaved(runs: Runs, iterations: int) -> dict[str, dict[str, Any]]:
    """Return seconds, canvas and peak of every run; they take turns."""
    workers = {name: Worker(keep, steps_of, kind, CASE, iterations) for name, (kind, keep) in runs.items()}
    for number in range(iterations + 1):
        for name, worker in workers.items():
            say(f"iteration {number} of {iterations}, {name}: {worker.step():.2f} s")
    found: dict[str, dict[str, Any]] = {}
    for name, worker in workers.items():
        canvas, peak = worker.end()
        found[name] = {"seconds": worker.seconds[1:], "canvas": canvas, "peak": peak}
    return found


def test_yardstick(benchmark: Any) -> None:
    """Time them, check that they give one movie, and say how many times faster ours is."""
    found = benchmark.pedantic(interleaved, (RUNS, SIZES.iterations), rounds=1)
    found |= interleaved(CONTROL, SIZES.iterations)
    tracked = in_child(tracking, replace(CASE, keep=False))
    say(f"one prediction of the whole clip: {tracked:.2f} s")
    mean = {name: float(np.mean(run["seconds"])) for name, run in found.items()}
    first = found["plain, weight gradients"]["canvas"]
    moved = np.abs(first - worlds.GREY).max()
    rows = []
    for name, run in found.items():
        published = mean[name] + (0 if name == "ours" else tracked / TRACKED_EVERY)
        rows.append(
            {
                "loop": name,
                "s per iteration": mean[name],
                "fastest": min(run["seconds"]),
                "windows per s": windows_of(CASE, "subclips") / mean[name],
                "× ours": mean[name] / mean["ours"],
                "× ours, whole clip tracked every 10": published / mean["ours"],
                "peak MiB": run["peak"],
                "difference / movement": float(np.abs(run["canvas"] - first).max() / moved),
            }
        )
    report("yardstick", rows)
    assert moved > 0 and all(row["difference / movement"] < 1e-3 for row in rows)


def spectrum(case: Case, iterations: int) -> dict[str, float]:
    """Return what `map_spectrum` costs, its prior a power law: no recording is at hand that it could learn one from."""
    keep_freed_memory()
    tree = {**config.load(worlds.PRESETS / "map_spectrum.yaml"), "parameterisation": "power_law"}
    method = config.build("method", {**tree, "iterations": iterations})
    problem = case.problem()
    seconds, _ = timed(lambda: [None for _ in method(problem, torch.Generator())])
    return {"evaluations": problem.meter.frames / case.frames, "s": seconds, "peak MiB": peak_mib()}


def test_map_spectrum(benchmark: Any) -> None:
    """Its 30 iterations on the same clip with a narrower network, and one evaluation with that of the yardstick."""
    narrow = replace(CASE, divide=SIZES.spectrum_divide)
    ran = benchmark.pedantic(in_child, (spectrum, narrow, SIZES.spectrum_iterations), rounds=1)
    one = in_child(iteration, CASE, "clip", 1)["s per iteration"]
    per_clip = narrow.frames - 30
    rows = [
        {"network": f"widths / {narrow.divide or 'narrowest'}", "iterations": SIZES.spectrum_iterations, **ran},
        {
            "network": f"widths / {CASE.divide}, one evaluation measured, the rest estimated from it",
            "iterations": SIZES.spectrum_iterations,
            "evaluations": ran["evaluations"],
            "s": one * ran["evaluations"],
            "s per evaluation": one,
            "windows per s": per_clip / one,
        },
    ]
    rows[0] |= {"s per evaluation": ran["s"] / ran["evaluations"]}
    rows[0] |= {"windows per s": per_clip / rows[0]["s per evaluation"]}
    report("map_spectrum", rows)
