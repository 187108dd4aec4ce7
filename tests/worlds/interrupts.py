"""Interrupts at a chosen evaluation or line, and a run that is interrupted and resumed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from recon.problem.problem import Problem
from recon.run.runner import reconstruct
from recon.types import Reconstruction


@contextmanager
def interrupt_at(number: int) -> Iterator[list[int]]:
    """Ctrl-C inside the evaluation of this number (0: none); yields a list with the number of evaluations so far.

    Every call of a module counts: of encoders, denoisers and networks in training, and of the modules inside them.
    """
    seen = [0]

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        seen[0] += 1
        if seen[0] == number:
            raise KeyboardInterrupt

    hook = register_module_forward_hook(count)
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def interrupt_at_line(number: int, files: Sequence[str]) -> Iterator[list[int]]:
    """Ctrl-C before the executed line of this number of the files (0: none); yields a list with the lines so far."""
    seen, before = [0], sys.gettrace()

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        seen[0] += event == "line"
        if seen[0] == number and event == "line":
            raise KeyboardInterrupt
        return line

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename in files else None

    sys.settrace(called)
    try:
        yield seen
    finally:
        sys.settrace(before)


def resumed(method: Any, problem: Problem, at: Sequence[int], checkpoint: Path, **options: Any) -> Reconstruction:
    """Interrupt a run inside the evaluations of these numbers, each counted from where it resumed, and end it."""
    for number in at:
        with interrupt_at(number), suppress(KeyboardInterrupt):
            reconstruct(method, problem, checkpoint=checkpoint, **options)
    return reconstruct(method, problem, checkpoint=checkpoint, **options)


def plain(result: Reconstruction) -> dict[str, Any]:
    """A result without its seconds, in values that compare to the last bit."""
    values: dict[str, Any] = {f"terms.{name}": bits(value) for name, value in result.terms.items()}
    if result.uncertainty is not None:
        values |= {"deviation": bits(result.uncertainty.deviation), "draws": result.uncertainty.draws}
    counted = ("iterations", "evaluations", "denoiser_evaluations", "status", "message", "statuses", "messages")
    return values | {"movie": bits(result.movie)} | {name: getattr(result, name) for name in counted}


def bits(value: Tensor) -> tuple[Any, ...]:
    """Type, shape and bytes of a tensor: NaN equals itself."""
    content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return str(value.dtype), tuple(value.shape), content.numpy().tobytes()
