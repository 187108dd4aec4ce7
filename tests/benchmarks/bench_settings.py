"""Each setting of how encoders compute against its default, on one sub-clip; and how ensembles may be evaluated."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from cases import Case, Worker, subclip_gradients, timed, worlds
from pages import NOT_MEASURED
from reporting import report
from sizes import SIZES, say
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from recon.encoders.base import resolve_device
from recon.encoders.core_readout.core import Core, CoreSettings

REFERENCE = Case(SIZES.settings_divide, SIZES.neurons, worlds.preset("bauer2025", 1).subclips.length)
CASES = {
    "precision tf32": replace(REFERENCE, precision="tf32"),
    "precision bfloat16": replace(REFERENCE, precision="bfloat16"),
    "channels_last false: published layers": replace(REFERENCE, layers=(("channels_last", False),)),
    "checkpointing always": replace(REFERENCE, layers=(("checkpointing", "always"),)),
    "checkpointing never": replace(REFERENCE, layers=(("checkpointing", "never"),)),
    "windows 1": replace(REFERENCE, layers=(("windows", 1),)),
    "windows 1, checkpointing never": replace(REFERENCE, layers=(("windows", 1), ("checkpointing", "never"))),
    "freed memory given back": replace(REFERENCE, keep=False),
}
NARROWEST = replace(REFERENCE, divide=0, neurons=100)
"""For compile, which translates every block and takes minutes with the published ones."""
MEMBERS = 3
WARM = 3
"""torch.compile translates anew in the first two calls."""
FIRST = f"first {WARM} together, s"


def compared(cases: dict[str, Case], reference: Case) -> list[dict[str, Any]]:
    """Return a row per setting; each takes turns with the defaults, which stay loaded meanwhile."""
    rows, default = [], Worker(True, subclip_gradients, reference)
    first = sum(default.step() for _ in range(WARM))
    for name, case in cases.items():
        if case.precision == "tf32" and not torch.cuda.is_available():
            rows.append({"setting": name, "s per sub-clip": NOT_MEASURED})
            continue
        try:
            rows.append({"setting": name, **in_turns(case, default)})
        except RuntimeError as error:
            # A compiler or an instruction set may be missing.
            reason = str(error).strip().splitlines()[-1][:100].replace("|", "/")
            rows.append({"setting": name, "s per sub-clip": f"failed: {reason}"})
        say(f"{name}: {rows[-1]['s per sub-clip']}")
    gradient, peak = default.end()
    largest = np.abs(gradient).max()
    for row in rows:
        if "gradient" in row:
            row["largest difference of the gradient"] = float(np.abs(row.pop("gradient") - gradient).max() / largest)
    seconds = statistics.median(default.seconds[WARM:])
    return [{"setting": "defaults", "s per sub-clip": seconds, FIRST: first, "peak MiB": peak}, *rows]


def in_turns(case: Case, default: Worker) -> dict[str, Any]:
    """Return a setting's seconds, alone and over the defaults' at the same time, its peak and its gradient."""
    worker = Worker(case.keep, subclip_gradients, case)
    first = sum(worker.step() for _ in range(WARM))
    pairs = [(worker.step(), default.step()) for _ in range(SIZES.repeats)]
    gradient, peak = worker.end()
    ratio = statistics.median(own / other for own, other in pairs)
    seconds = statistics.median(own for own, _ in pairs)
    row = {"s per sub-clip": seconds, "× defaults": ratio, FIRST: first, "peak MiB": peak}
    return {**row, "gradient": gradient}


def test_settings(benchmark: Any) -> None:
    """Time every setting in a process of its own."""
    report("settings", benchmark.pedantic(compared, (CASES, REFERENCE), rounds=1))


def test_compiled(benchmark: Any) -> None:
    """Time translation and what it gains, on the narrowest network."""
    cases = {"compile": replace(NARROWEST, compiled=True)}
    report("compiled", benchmark.pedantic(compared, (cases, NARROWEST), rounds=1))


def in_turn(members: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Return the gradient of the sum of the members' outputs, one member after another."""
    total = torch.zeros_like(inputs)
    for member in members:
        leaf = inputs.detach().requires_grad_(True)
        total += torch.autograd.grad(member(leaf).sum(), leaf)[0]
    return total


def on_streams(members: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Return the same, each member on a stream of its own; where there is no GPU this is one after another."""
    cuda, parts = inputs.is_cuda, []
    current = torch.cuda.current_stream() if cuda else None
    for member in members:
        stream = torch.cuda.Stream() if cuda else None
        if stream is not None:
            stream.wait_stream(current)
        with torch.cuda.stream(stream) if cuda else nullcontext():
            parts.append(in_turn([member], inputs))
        if stream is not None:
            current.wait_stream(stream)
    return torch.stack(parts).sum(0)


def vmapped(members: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Return the same with the members' weights stacked: one call for all."""
    parameters, buffers = stack_module_state(list(members))
    empty = copy.deepcopy(members[0]).to("meta")
    leaf = inputs.detach().requires_grad_(True)

    def one(weights: dict[str, Tensor], state: dict[str, Tensor], shown: Tensor) -> Tensor:
        given: Tensor = functional_call(empty, (weights, state), (shown,))
        return given

    outputs = vmap(one, in_dims=(0, 0, None))(parameters, buffers, leaf)
    return torch.autograd.grad(outputs.sum(), leaf)[0]


STRATEGIES = {"one after another": in_turn, "on streams": on_streams, "vmapped": vmapped}


def ensembles() -> dict[str, tuple[list[nn.Module], Tensor]]:
    """Return cores of ensembles with an input: the demo's on 45 frames, DwiseNeuro's (as published) on one window."""
    device, generator = resolve_device(), torch.Generator().manual_seed(0)
    cores = [Core(CoreSettings()) for _ in range(MEMBERS)]
    for core in cores:
        core.initialise(generator)
    wide = [replace(REFERENCE, divide=max(SIZES.settings_divide, 4)).encoder(seed).core for seed in range(MEMBERS)]
    made = {
        "core_readout, core on 45 frames": (cores, torch.rand(45, 4, 36, 64, generator=generator)),
        "dwiseneuro, widths / 4 or less, one window": (wide, torch.rand(1, 5, 16, 64, 64, generator=generator)),
    }
    for parts, _ in made.values():
        for part in parts:
            part.eval().requires_grad_(False).to(device)
    return {name: (parts, inputs.to(device)) for name, (parts, inputs) in made.items()}


def strategies() -> list[dict[str, Any]]:
    """Return a row per ensemble and strategy; all must give the same gradient."""
    rows = []
    for name, (members, inputs) in ensembles().items():
        expected = in_turn(members, inputs)
        for strategy, work in STRATEGIES.items():
            if strategy == "on streams" and not inputs.is_cuda:
                rows.append({"ensemble": name, "members": strategy, "s": NOT_MEASURED})
                continue
            given = work(members, inputs)
            seconds = statistics.median(timed(partial(work, members, inputs))[0] for _ in range(3 * SIZES.repeats))
            difference = float((given - expected).abs().max() / expected.abs().max())
            say(f"{name}, {strategy}: {seconds:.4f} s")
            rows.append({"ensemble": name, "members": strategy, "s": seconds, "difference": difference})
    return rows


def test_ensemble_strategies(benchmark: Any) -> None:
    """Time one after another, on streams, vmapped."""
    rows = benchmark.pedantic(strategies, rounds=1)
    report("ensembles", rows)
    assert all(row.get("difference", 0) < 1e-3 for row in rows)
