"""speed: the published loop, plainly written and ours, and `map_spectrum`, at full size: seconds and memory."""

from __future__ import annotations

import importlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu.clips import BAUER, Sizes, core_readout, core_readout_clips, map_spectrum
from gpu.measure import clear, peak, relative, steps
from gpu.part import Part, Row
from torch import Tensor
from worlds import bauer

from recon.encoders.base import Encoder

yardstick: Any = importlib.import_module("yardstick")
exact: Any = importlib.import_module("bauer2025_exact")

PLAIN, FROZEN, OURS = "published loop, plain", "published loop, plain, frozen weights", "published loop, ours"
LOOPS = (OURS, PLAIN, FROZEN)
PER_ITERATION, PER_CLIP, FASTER = "s per iteration", "s per clip", "× faster per clip"
PUBLISHED_ITERATIONS = 1000
MOST = 45.0
"""Seconds of one loop after which its iterations are enough."""


class Loops:
    """The loops on one clip; each one's canvas is compared with that of ours."""

    def __init__(self, device: torch.device, sizes: Sizes) -> None:
        self.device, self.sizes = device, sizes
        self.canvas: Tensor | None = None

    def iterates(self, name: str, encoder: Encoder, frames: int, iterations: int) -> Iterator[Tensor]:
        """Yield a loop's canvases `[T,64,64]` in 0–255 after every iteration."""
        world = bauer.World(frames, self.sizes.neurons)
        if name != OURS:
            loop = yardstick.plain_loop(world, encoder, weight_gradients=name == PLAIN, track=0)
            yield from loop.iterates(iterations)
            return
        problem = world.problem(encoder, self.device)
        for iterate in replace(BAUER, iterations=iterations)(problem, torch.Generator()):
            yield iterate.state["variable"][0, 0] * bauer.WHITE

    def row(self, name: str) -> Row:
        """Return a loop's cost; a short clip and the first iteration, in which kernels are chosen, are not counted."""
        sizes = self.sizes
        encoder = bauer.random_encoder(exact.network(sizes.divide, sizes.neurons)).to(self.device)
        steps(self.iterates(name, encoder, sizes.warm_frames, 1), self.device)
        clear(self.device)
        whole = self.iterates(name, encoder, sizes.frames, sizes.iterations)
        seconds, canvas = steps(whole, self.device, most=MOST)
        taken = statistics.median(seconds[1:] or seconds)
        row: Row = {PER_ITERATION: taken, PER_CLIP: taken * PUBLISHED_ITERATIONS, "iterations": len(seconds)}
        row |= {"peak MiB": peak(self.device)}
        if self.canvas is None:
            self.canvas = canvas.cpu()
        elif len(seconds) == sizes.iterations:
            row["difference / movement"] = relative(canvas.cpu() - bauer.GREY, self.canvas - bauer.GREY)
        return row


def spectrum_row(neurons: int, device: torch.device, sizes: Sizes, folder: Path) -> Row:
    """Return the cost of `map_spectrum` on a clip, its spectrum a power law."""
    problem = core_readout_clips(core_readout(neurons).to(device), sizes.frames)
    method = map_spectrum(sizes.frames, sizes.spectrum_iterations, folder)
    if sizes.warm:
        steps(replace(method, iterations=1)(problem, torch.Generator()), device)
    before = problem.meter.frames
    seconds, _ = steps(method(problem, torch.Generator()), device, most=MOST)
    evaluations = (problem.meter.frames - before) / sizes.frames
    return {
        PER_ITERATION: statistics.median(seconds),
        PER_CLIP: sum(seconds) * sizes.spectrum_iterations / len(seconds),
        "iterations": len(seconds),
        "peak MiB": peak(device),
        "evaluations": evaluations,
    }


def compared(rows: Sequence[Row]) -> list[Row]:
    """Add how many times faster a clip is than with the plain loop as published."""
    plain = next((row.get(PER_CLIP) for row in rows if row["case"] == PLAIN), None)
    return [row | {FASTER: plain / row[PER_CLIP]} if plain and PER_CLIP in row else row for row in rows]


def speed(device: torch.device, sizes: Sizes) -> Part:
    """Return the part; ours comes first, so that a slow plain loop cannot take its time."""
    folder, loops = Path(tempfile.mkdtemp(prefix="recon_gpu_")), Loops(device, sizes)
    cases = {name: partial(loops.row, name) for name in LOOPS}
    for neurons in sizes.populations:
        cases[f"map_spectrum, {neurons} neurons"] = partial(spectrum_row, neurons, device, sizes, folder)
    return Part("speed", cases, compared)
