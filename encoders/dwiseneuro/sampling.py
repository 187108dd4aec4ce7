"""Training samples of DwiseNeuro: windows balanced over mice, CutMix (Yun et al. 2019), prefetched batches.

Samples depend only on seed and step, so that training resumes without saving a generator's state.
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

from recon.encoders.behavior import LOSSES, drawn_loss
from recon.encoders.dwiseneuro.network import DwiseSettings, Subject, stacked
from recon.encoders.training.clips import TrainingClip
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Fraction, Positive, Seed, Whole


@dataclass(frozen=True)
class Mouse:
    """An animal with its training and validation trials; the sequences may read trials lazily."""

    subject: Subject
    training: Sequence[TrainingClip]
    validation: Sequence[TrainingClip]


@dataclass(frozen=True)
class WindowSampling:
    """Sampling settings: `samples` per epoch in batches of `batch`, of which a share `cutmix` gets CutMix.

    The area of the pasted box, relative to the canvas and before clipping at its edges, is drawn from
    Beta(`cutmix_alpha`, `cutmix_alpha`). `readers` is the number of prefetching threads.
    `behavior_dropout`: share of the samples that lose behavior (all of it, the eye tracker's or the treadmill's); its
    means then stand for behavior that is unknown.
    """

    samples: Count = 72_000
    batch: Count = 32
    cutmix: Fraction = 0.5
    cutmix_alpha: Positive = 1.0
    readers: Whole = 0
    seed: Seed = 0
    behavior_dropout: Decay = 0.0

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
    """A window: its mouse, trial, and start as a fraction 0–1 of all possible starts in the trial."""

    mouse: int
    trial: int
    place: float


class CutMixSample(NamedTuple):
    """A window and, for CutMix, the window of the same mouse that provides the box; `lost`: row of `LOSSES`."""

    window: Draw
    other: Draw | None = None
    box: Box = (0, 0, 0, 0)
    lost: int | None = None


class Window(NamedTuple):
    """Network inputs `[5,F,h,w]` and non-negative responses `[N,F]`."""

    inputs: Tensor
    responses: Tensor


class WindowBatch(NamedTuple):
    """Inputs `[B,5,F,h,w]`, and the mouse and responses `[N,F]` of each sample."""

    inputs: Tensor
    mice: Tensor
    responses: tuple[Tensor, ...]


def generator_of(seed: int, purpose: str, index: int) -> torch.Generator:
    """Return the random generator for a purpose at a step or epoch."""
    return torch.Generator().manual_seed(key_of(seed, purpose, index))


def key_of(seed: int, purpose: str, index: int) -> int:
    """Return a 32-bit seed (torch's limit) derived from seed, purpose and index."""
    return zlib.crc32(f"{seed} {purpose} {index}".encode())


def epoch_steps(sampling: WindowSampling, mice: int) -> int:
    """Return the number of full batches per epoch.

    >>> epoch_steps(WindowSampling(), 10)
    2250
    """
    steps = sampling.samples // mice * mice // sampling.batch
    if steps < 1:
        raise InputError(
            f"samples: expected at least {max(sampling.batch, mice)} (a batch, and one per mouse), "
            f"got {sampling.samples}; raise it"
        )
    return steps


@lru_cache(maxsize=4)
def epoch_order(sampling: WindowSampling, mice: int, epoch: int) -> Tensor:
    """Return the mouse of each sample of an epoch: equal numbers of samples per mouse, in random order."""
    each = sampling.samples // mice
    return torch.randperm(each * mice, generator=generator_of(sampling.seed, "epoch", epoch)) // each


def plan(step: int, trials: Sequence[int], sampling: WindowSampling, canvas: tuple[int, int]) -> list[CutMixSample]:
    """Return the samples of a step; `trials` is the number of training trials of each mouse."""
    epoch, place = divmod(step, epoch_steps(sampling, len(trials)))
    first = place * sampling.batch
    mice = epoch_order(sampling, len(trials), epoch)[first : first + sampling.batch]
    generator = generator_of(sampling.seed, "batch", step)
    samples = [_sample(mouse, trials[mouse], sampling, canvas, generator=generator) for mouse in mice.tolist()]
    if not sampling.behavior_dropout:
        return samples
    draws = generator_of(sampling.seed, "behavior", step)
    return [sample._replace(lost=drawn_loss(sampling.behavior_dropout, draws)) for sample in samples]


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
    """Return a CutMix box with the canvas's aspect ratio around a random pixel, clipped at the edges.

    Its area relative to the canvas is drawn from Beta(alpha, alpha) before clipping.
    """
    from scipy.special import betaincinv

    side = math.sqrt(float(betaincinv(alpha, alpha, _uniform(generator))))
    spans = []
    for length in canvas:
        centre, half = int(torch.randint(length, (), generator=generator)), int(length * side) // 2
        spans += [max(centre - half, 0), min(centre + half, length)]
    return spans[0], spans[1], spans[2], spans[3]


def cut_mix(window: Window, other: Window, box: Box) -> Window:
    """Return the window with the other's box pasted into every frame and channel; responses are mixed by area."""
    top, bottom, left, right = box
    height, width = window.inputs.shape[-2:]
    inputs = window.inputs.clone()
    inputs[..., top:bottom, left:right] = other.inputs[..., top:bottom, left:right]
    share = (bottom - top) * (right - left) / (height * width)
    return Window(inputs, (1 - share) * window.responses + share * other.responses)


def cut(
    clip: TrainingClip, settings: DwiseSettings, start: int, *, means: tuple[float, ...] = (), lost: int | None = None
) -> Window:
    """Return the window of a clip that starts at frame `start`; `means` stand for behavior that is unknown or lost."""
    part = slice(start, start + settings.span, settings.step)
    behavior = torch.full((4, clip.movie.shape[1]), torch.nan) if clip.behavior is None else clip.behavior
    states = behavior[:, part] if lost is None else behavior[:, part].masked_fill(LOSSES[lost][:, None], torch.nan)
    if means:
        states = torch.where(states.isnan(), states.new_tensor(means)[:, None], states)
    elif bool(states.isnan().any()):
        raise InputError(
            "behavior: expected pupil and running in all frames of every trial, got none or gaps; record or import "
            "them, or set training.sampling.behavior_dropout=0.2 to learn to do without"
        )
    inputs = stacked(clip.movie[None, :, part], states[None], settings)
    return Window(inputs[0], clip.responses[:, part].clamp_min(0))


def places(clip: TrainingClip, settings: DwiseSettings) -> int:
    """Return the number of possible window starts in a clip."""
    count = clip.movie.shape[1] - settings.span + 1
    if count < 1:
        raise InputError(
            f"trials: expected at least {settings.span} frames (one window), got {clip.movie.shape[1]}; "
            "leave short trials out (tier 'none')"
        )
    return count


def read_batch(samples: Sequence[CutMixSample], mice: Sequence[Mouse], settings: DwiseSettings) -> WindowBatch:
    """Return the windows of samples as a batch."""
    windows = []
    for sample in samples:
        window = _read(sample.window, mice, settings, sample.lost)
        if sample.other is not None:
            window = cut_mix(window, _read(sample.other, mice, settings, sample.lost), sample.box)
        windows.append(window)
    inputs = torch.stack([window.inputs for window in windows])
    owners = torch.tensor([sample.window.mouse for sample in samples])
    return WindowBatch(inputs, owners, tuple(window.responses for window in windows))


def _read(draw: Draw, mice: Sequence[Mouse], settings: DwiseSettings, lost: int | None) -> Window:
    mouse = mice[draw.mouse]
    clip, means = mouse.training[draw.trial], mouse.subject.behavior_means
    return cut(clip, settings, int(draw.place * places(clip, settings)), means=means, lost=lost)


def read_ahead(steps: range, read: Callable[[int], WindowBatch], readers: int) -> Iterator[WindowBatch]:
    """Yield read(step) for each step in order, prefetching up to `readers` batches in as many threads."""
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
