"""What DwiseNeuro learns from: windows drawn evenly over mice, CutMix (Yun et al. 2019), batches that are read ahead.

What a step sees depends on the seed and the step alone, so that a training is resumed without a generator's state.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from recon.encoders.dwiseneuro.network import DwiseSettings, Subject, stacked
from recon.encoders.training.clips import TrainingClip
from recon.errors import InputError


@dataclass(frozen=True)
class Mouse:
    """An animal with the trials that teach and those that validate; sequences may read a trial when it is asked for."""

    subject: Subject
    training: Sequence[TrainingClip]
    validation: Sequence[TrainingClip]


@dataclass(frozen=True)
class WindowSampling:
    """How samples are drawn: `samples` an epoch in batches of `batch`; of a share `cutmix` of them a box is replaced.

    The box's share of the canvas, before it is cut at the edges, is drawn from Beta(`cutmix_alpha`, `cutmix_alpha`).
    `readers` threads read batches ahead.
    """

    samples: int = 72_000
    batch: int = 32
    cutmix: float = 0.5
    cutmix_alpha: float = 1.0
    readers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.samples, self.batch) < 1 or self.readers < 0:
            raise InputError(f"samples, batch: expected 1 or more, readers 0 or more, got {self}; raise them")
        if not 0 <= self.cutmix <= 1 or self.cutmix_alpha <= 0:
            raise InputError(
                f"cutmix: expected a share in 0–1 and a positive cutmix_alpha, got {self.cutmix} and "
                f"{self.cutmix_alpha}; 0 switches it off"
            )


Box = tuple[int, int, int, int]
"""First and last row (exclusive), first and last column (exclusive)."""


class Draw(NamedTuple):
    """A window: the mouse, its trial, and the window's place, as a share 0–1 of all places in the trial."""

    mouse: int
    trial: int
    place: float


class CutMixSample(NamedTuple):
    """A window, and the window of the same mouse, if any, from which a box is pasted."""

    window: Draw
    other: Draw | None = None
    box: Box = (0, 0, 0, 0)


class Window(NamedTuple):
    """Inputs `[5,F,h,w]` of the network, and responses `[N,F]`, none below zero."""

    inputs: Tensor
    responses: Tensor


class WindowBatch(NamedTuple):
    """Inputs `[B,5,F,h,w]`, and of each sample the mouse and its responses `[N,F]`."""

    inputs: Tensor
    mice: Tensor
    responses: tuple[Tensor, ...]


def generator_of(seed: int, purpose: str, index: int) -> torch.Generator:
    """Return the generator of one purpose at one step or epoch."""
    return torch.Generator().manual_seed(key_of(seed, purpose, index))


def key_of(seed: int, purpose: str, index: int) -> int:
    """Return 32 bits, all that torch's generator takes, that differ for every purpose, step and seed."""
    return zlib.crc32(f"{seed} {purpose} {index}".encode())


def epoch_steps(sampling: WindowSampling, mice: int) -> int:
    """Return the number of whole batches of an epoch.

    >>> epoch_steps(WindowSampling(), 10)
    2250
    """
    steps = sampling.samples // mice * mice // sampling.batch
    if steps < 1:
        raise InputError(
            f"samples: expected {max(sampling.batch, mice)} or more, a batch and one of each mouse, "
            f"got {sampling.samples}; raise it"
        )
    return steps


@lru_cache(maxsize=4)
def epoch_order(sampling: WindowSampling, mice: int, epoch: int) -> Tensor:
    """Return the mouse of each sample of an epoch: the same number of samples of every mouse, in random order."""
    each = sampling.samples // mice
    return torch.randperm(each * mice, generator=generator_of(sampling.seed, "epoch", epoch)) // each


def plan(step: int, trials: Sequence[int], sampling: WindowSampling, canvas: tuple[int, int]) -> list[CutMixSample]:
    """Return the samples of a step; `trials` counts the training trials of each mouse."""
    epoch, place = divmod(step, epoch_steps(sampling, len(trials)))
    first = place * sampling.batch
    mice = epoch_order(sampling, len(trials), epoch)[first : first + sampling.batch]
    generator = generator_of(sampling.seed, "batch", step)
    return [_sample(mouse, trials[mouse], sampling, canvas, generator=generator) for mouse in mice.tolist()]


def _sample(
    mouse: int, trials: int, sampling: WindowSampling, canvas: tuple[int, int], *, generator: torch.Generator
) -> CutMixSample:
    window = _draw(mouse, trials, generator)
    if _uniform(generator) >= sampling.cutmix:
        return CutMixSample(window)
    return CutMixSample(window, _draw(mouse, trials, generator), drawn_box(canvas, sampling.cutmix_alpha, generator))


def _draw(mouse: int, trials: int, generator: torch.Generator) -> Draw:
    return Draw(mouse, int(torch.randint(trials, (), generator=generator)), _uniform(generator))


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def drawn_box(canvas: tuple[int, int], alpha: float, generator: torch.Generator) -> Box:
    """Return a box of the canvas's shape about a random pixel, cut at the edges; its share is Beta(alpha, alpha)."""
    from scipy.special import betaincinv

    side = math.sqrt(float(betaincinv(alpha, alpha, _uniform(generator))))
    spans = []
    for length in canvas:
        centre, half = int(torch.randint(length, (), generator=generator)), int(length * side) // 2
        spans += [max(centre - half, 0), min(centre + half, length)]
    return spans[0], spans[1], spans[2], spans[3]


def cut_mix(window: Window, other: Window, box: Box) -> Window:
    """Return the window with the other's box in every frame and channel; responses are mixed by the box's area."""
    top, bottom, left, right = box
    height, width = window.inputs.shape[-2:]
    inputs = window.inputs.clone()
    inputs[..., top:bottom, left:right] = other.inputs[..., top:bottom, left:right]
    share = (bottom - top) * (right - left) / (height * width)
    return Window(inputs, (1 - share) * window.responses + share * other.responses)


def cut(clip: TrainingClip, settings: DwiseSettings, start: int) -> Window:
    """Return the window of a clip that starts at a frame."""
    if clip.behavior is None:
        raise InputError("behavior: expected pupil and running of every trial, got none; record or import them")
    part = slice(start, start + settings.span, settings.step)
    inputs = stacked(clip.movie[None, :, part], clip.behavior[None, :, part], settings)
    return Window(inputs[0], clip.responses[:, part].clamp_min(0))


def places(clip: TrainingClip, settings: DwiseSettings) -> int:
    """Return in how many places of a clip a window can start."""
    count = clip.movie.shape[1] - settings.span + 1
    if count < 1:
        raise InputError(
            f"trials: expected {settings.span} frames or more, one window, got {clip.movie.shape[1]}; "
            "leave short trials out (tier 'none')"
        )
    return count


def read_batch(samples: Sequence[CutMixSample], mice: Sequence[Mouse], settings: DwiseSettings) -> WindowBatch:
    """Return the windows of samples as one batch."""
    windows = []
    for sample in samples:
        window = _read(sample.window, mice, settings)
        if sample.other is not None:
            window = cut_mix(window, _read(sample.other, mice, settings), sample.box)
        windows.append(window)
    inputs = torch.stack([window.inputs for window in windows])
    owners = torch.tensor([sample.window.mouse for sample in samples])
    return WindowBatch(inputs, owners, tuple(window.responses for window in windows))


def _read(draw: Draw, mice: Sequence[Mouse], settings: DwiseSettings) -> Window:
    clip = mice[draw.mouse].training[draw.trial]
    return cut(clip, settings, int(draw.place * places(clip, settings)))


def read_ahead(steps: range, read: Callable[[int], WindowBatch], readers: int) -> Iterator[WindowBatch]:
    """Yield read(step) of each step in order; with `readers` threads so many batches are read ahead."""
    if readers == 0:
        yield from map(read, steps)
        return
    pool, waiting = ThreadPoolExecutor(readers), deque[Future[WindowBatch]]()
    try:
        for step in steps:
            waiting.append(pool.submit(read, step))
            if len(waiting) > readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
