"""settings: precision, compilation, clips at once and windows against the defaults: seconds, memory, deviation."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from gpu.clips import Sizes, core_readout, core_readout_clips, movies
from gpu.measure import peak, relative, repeated
from gpu.part import Case, Part, Row
from torch import Tensor
from worlds import bauer

from recon.encoders.base import Encoder
from recon.encoders.runtime.precision import Precision, in_precision
from recon.problem.problem import Problem

exact: Any = importlib.import_module("bauer2025_exact")

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
LAYERS: dict[str, dict[str, Any]] = {
    "windows 1": {"windows": 1},
    "windows 8": {"windows": 8},
    "channels_last false": {"channels_last": False},
    "checkpointing never": {"checkpointing": "never"},
}
Pose = Callable[[Encoder], Problem]


@dataclass
class Reference:
    """The gradient in float32 `[B,C,T,H,W]` that the first case leaves and the others are compared with."""

    gradient: Tensor | None = field(default=None)

    def deviation(self, gradient: Tensor) -> Row:
        """Return the largest deviation of the first clip's gradient over its largest value; keep the first one."""
        if self.gradient is None:
            self.gradient = gradient[:1].cpu()
            return {}
        return {"deviation from float32": relative(gradient[:1].cpu(), self.gradient)}


@dataclass(frozen=True)
class Gradients:
    """One gradient of an encoder's energy, again and again, on a device."""

    device: torch.device
    sizes: Sizes
    reference: Reference = field(default_factory=Reference)

    def row(
        self, make: Callable[[], Encoder], pose: Pose, *, precision: Precision = "float32", compiled: bool = False
    ) -> Row:
        """Return seconds per clip of a gradient and what it costs, with an encoder in a precision or compiled."""
        encoder = in_precision(make().to(self.device), precision)
        if compiled:
            encoder.compile()
        problem = pose(encoder)
        movie = movies(1, problem.shape[2]).expand(problem.shape[0], -1, -1, -1, -1).to(self.device)
        started = time.perf_counter()
        seconds, (_, gradient) = repeated(
            lambda: problem.value_and_gradient(movie), self.device, warm=self.sizes.warm, repeats=self.sizes.repeats
        )
        row: Row = {"s per clip": seconds / len(movie), "s with warm-up": time.perf_counter() - started}
        return row | {"peak MiB": peak(self.device)} | self.reference.deviation(gradient)


def settings(device: torch.device, sizes: Sizes) -> Part:
    """Return the part; compilation, which takes longest, comes last."""
    small, large = Gradients(device, sizes), Gradients(device, sizes)
    neurons = sizes.populations[-1]
    network = exact.network(sizes.divide, sizes.neurons)
    core, deep = partial(core_readout, neurons), partial(bauer.random_encoder, network)
    clip, world = partial(core_readout_clips, frames=sizes.frames), bauer.World(sizes.deep_frames, sizes.neurons)
    posed = partial(world.problem, device=device)
    cases: dict[str, Case] = {
        f"core_readout, {name}": partial(small.row, core, clip, precision=name) for name in PRECISIONS
    }
    for count in sizes.batches:
        cases[f"core_readout, {count} clips at once"] = partial(small.row, core, partial(clip, clips=count))
    for window in sizes.windows:
        cases[f"core_readout, window {window}"] = partial(small.row, core, partial(clip, window=window))
    cases |= {f"dwiseneuro, {name}": partial(large.row, deep, posed, precision=name) for name in PRECISIONS}
    cases |= {
        f"dwiseneuro, {name}": partial(large.row, partial(deep, **layers), posed) for name, layers in LAYERS.items()
    }
    if sizes.compiled:
        cases["core_readout, compiled"] = partial(small.row, core, clip, compiled=True)
        cases["dwiseneuro, compiled"] = partial(large.row, deep, posed, compiled=True)
    return Part("settings", cases)
