"""What the benchmarks measure: networks, problems, and iterations of a method, each in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import re
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.encoders.base import Encoder, freeze, resolve_device
from recon.encoders.dwiseneuro.encoder import DwiseNeuro
from recon.encoders.dwiseneuro.network import DwiseNetwork, DwiseSettings
from recon.encoders.runtime.malloc import keep_freed_memory
from recon.encoders.runtime.precision import Precision, in_precision
from recon.problem.problem import Observation, Problem

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("benchmarks", "exact", "")]
worlds: Any = importlib.import_module("worlds.bauer")
exact: Any = importlib.import_module("bauer2025_exact")

KILLED = "the process was killed, probably for want of memory"
LONG = 20
"""Seconds after which nothing is repeated; the first run counts only where it was this long."""
REACH = 30
"""Frames of a window after its first."""


@dataclass(frozen=True)
class Case:
    """A DwiseNeuro of random weights (`divide` 0: the narrowest), clips, and how it computes."""

    divide: int
    neurons: int
    frames: int
    clips: int = 1
    members: int = 1
    precision: Precision = "float32"
    compiled: bool = False
    keep: bool = True
    layers: tuple[tuple[str, Any], ...] = ()
    """Settings of the encoder by name: windows, checkpointing, channels_last."""

    def encoder(self, seed: int = 0) -> Encoder:
        """Return a frozen network whose weights a seed gives."""
        tree = {**exact.network(self.divide, self.neurons), "readout_outputs": (5, self.neurons)}
        network = DwiseNetwork(DwiseSettings(**tree))
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        network.load_state_dict(worlds.dwise_worlds.random_state(shapes, seed=seed))
        inner = freeze(DwiseNeuro(network.eval(), worlds.MOUSE, **dict(self.layers))).to(resolve_device())
        encoder = in_precision(inner, self.precision)
        if self.compiled:
            encoder.compile()
        return encoder

    def problem(self) -> Problem:
        """Return the problem of the clips, whose gradient the members share."""
        device, world = resolve_device(), worlds.World(self.frames, self.neurons)
        seen: list[Observation] = []
        for seed in range(self.members):
            (one,) = world.problem(self.encoder(seed), device).observations
            many = one.measurement.sample(torch.zeros(self.clips, dtype=torch.long, device=device))
            seen.append(replace(one, measurement=many, weight=1 / self.members))
        posed: Problem = world.problem(seen[0].encoder, device)
        return replace(posed, observations=tuple(seen))


def in_child(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` gives in a fresh process; its peak of memory is then its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        good, answer = ours.recv()
    except EOFError:
        good, answer = False, KILLED
    process.join()
    if not good:
        raise RuntimeError(answer)
    return answer


def _answer(pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((True, work(*arguments)))
    except Exception:
        pipe.send((False, traceback.format_exc()))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds of work, to its end on the device, and what it gives."""
    started = time.perf_counter()
    given = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, given


def peak_mib() -> float:
    """Return the peak of memory in MiB: of tensors on a GPU, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    # The kernel's own counter, reset at exec; that of getrusage also remembers the parent's size.
    return int(found[1]) / 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def windows_of(case: Case, method: str) -> int:
    """Return windows of the encoder whose gradient one iteration takes."""
    one = case.frames - REACH
    if method == "subclips":
        subclips = worlds.preset("bauer2025", 1).subclips
        one = len(subclips.starts(case.frames)) * (subclips.length - REACH)
    return int(one * case.clips * case.members)


def iteration(case: Case, method: str, repeats: int) -> dict[str, float]:
    """Return what one iteration costs: "subclips", the published gradient, or "clip", that of the whole clip."""
    if case.keep:
        keep_freed_memory()
    problem = case.problem()
    start = peak_mib()
    movie = torch.full(problem.on_canvas().shape, 0.5, device=problem.device)
    source = worlds.preset("bauer2025", 1).subclips if method == "subclips" else None

    def work() -> Any:
        posed = problem.on_canvas()
        return source.value_and_gradient(posed, movie) if source else posed.value_and_gradient(movie)

    runs = [timed(work)[0]]
    while len(runs) <= repeats and sum(runs) < LONG:
        runs.append(timed(work)[0])
    seconds = statistics.median(runs[1:] or runs)
    rate = windows_of(case, method) / seconds
    return {"s per iteration": seconds, "windows per s": rate, "peak MiB": peak_mib(), "MiB before": start}


class Worker:
    """A process that makes one step whenever told to, so that several take turns and what disturbs one disturbs all."""

    def __init__(self, keep: bool, make: Callable[..., Iterator[Tensor]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, keep, make, arguments))
        self._process.start()
        end.close()
        self.seconds: list[float] = []

    def step(self) -> float:
        """Make one step and return its seconds."""
        self.seconds.append(self._ask(True))
        return self.seconds[-1]

    def end(self) -> tuple[Any, float]:
        """Return what the last step gave, as an array, and the peak of memory in MiB; the process is gone then."""
        last, peak = self._ask(False)
        self._process.join()
        return last, peak

    def _ask(self, more: bool) -> Any:
        try:
            self._pipe.send(more)
            good, answer = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            good, answer = False, KILLED
        if not good:
            self._process.join()
            raise RuntimeError(answer)
        return answer


def _serve(pipe: Any, keep: bool, make: Callable[..., Iterator[Tensor]], arguments: tuple[Any, ...]) -> None:
    try:
        if keep:
            keep_freed_memory()
        steps, last = make(*arguments), torch.empty(0)
        while pipe.recv():
            seconds, last = timed(lambda: next(steps))
            pipe.send((True, seconds))
        pipe.send((True, (last.cpu().numpy(), peak_mib())))
    except Exception:
        pipe.send((False, traceback.format_exc()))


def subclip_gradients(case: Case) -> Iterator[Tensor]:
    """Yield the gradient of one sub-clip's energy again and again."""
    problem = case.problem().on_canvas()
    movie = torch.rand(problem.shape, generator=torch.Generator().manual_seed(4)).to(problem.device)
    while True:
        yield problem.value_and_gradient(movie)[1]


def steps_of(name: str, case: Case, iterations: int) -> Iterator[Tensor]:
    """Yield canvases `[T,64,64]` in 0–255 of the plain loop with weight gradients or frozen, or of ours.

    The first is that of a short clip, in whose iteration threads, caches and kernels are made.
    """
    *_, warm = canvases(name, replace(case, frames=worlds.FRAMES), 1)
    yield warm
    yield from canvases(name, case, iterations)


def canvases(name: str, case: Case, iterations: int) -> Iterator[Tensor]:
    """Yield a loop's canvases `[T,64,64]` in 0–255."""
    problem = case.problem()
    if name == "ours":
        method = worlds.preset("bauer2025", iterations)
        yield from (iterate.state["variable"][0, 0] * 255 for iterate in method(problem, torch.Generator()))
        return
    yardstick: Any = importlib.import_module("yardstick")
    world, encoder = worlds.World(case.frames, case.neurons), problem.observations[0].encoder
    loop = yardstick.plain_loop(world, encoder, weight_gradients=name == "weight gradients", track=0)
    yield from loop.iterates(iterations)


def tracking(case: Case) -> float:
    """Return seconds of predicting the whole clip once, as the published loop does every ten iterations."""
    yardstick: Any = importlib.import_module("yardstick")
    world, encoder = worlds.World(case.frames, case.neurons), case.encoder()
    loop = yardstick.plain_loop(world, encoder, weight_gradients=False, track=1)
    loop.planes = loop.behavior[:, :, None, None].expand(-1, -1, *loop.mask.shape)
    movie = torch.full((case.frames, *loop.mask.shape), 127.5, device=loop.mask.device)
    return timed(lambda: loop.tracked(movie))[0]
