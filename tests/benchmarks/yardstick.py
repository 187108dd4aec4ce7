"""The published loop as plainly as it is published: what our speed is measured against.

    python tests/benchmarks/yardstick.py [--frames 300] [--divide 1] [--neurons 7863] [--iterations 3]
        [--device cpu] [--track 10]

One window of one sub-clip of one clip at a time; weights take gradients that nobody uses (or are frozen, which is
kinder than the published code); every ten iterations the whole clip is predicted once more, window by window. Random
weights, one clip. The same movie comes out of `configs/methods/bauer2025.yaml`: tests/methods/test_bauer2025.py checks
it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("benchmarks", "exact", "")]

worlds: Any = importlib.import_module("worlds.bauer")
exact: Any = importlib.import_module("bauer2025_exact")

LENGTH, SHIFT, GREY, WHITE = 32, 8, 127.5, 255.0


@dataclass
class PlainLoop:
    """The loop on one clip, with a DwiseNeuro: responses `[N,T]`, behavior `[4,T]`, and the mask of what moves."""

    encoder: Any
    responses: Tensor
    behavior: Tensor
    mask: Tensor
    weight_gradients: bool = True
    track: int = 10
    learning_rate: float = 1000.0
    clip: float = 1.0
    losses: list[float] = field(default_factory=list)

    def run(self, iterations: int) -> Tensor:
        """Return the canvas `[T,64,64]` in 0–255."""
        *_, movie = self.iterates(iterations)
        return movie

    def iterates(self, iterations: int) -> Iterator[Tensor]:
        """Yield the canvas after every iteration."""
        frames = self.responses.shape[1]
        self.planes = self.behavior[:, :, None, None].expand(-1, -1, *self.mask.shape)
        self.encoder.requires_grad_(self.weight_gradients)
        movie = torch.full((frames, *self.mask.shape), GREY, device=self.mask.device)
        momentum = torch.zeros_like(movie)
        for i in range(iterations):
            gradient = self.gradient(movie)
            if i > 0:
                momentum = 0.9 * momentum + 0.1 * gradient
                rate = self.learning_rate * min(1, i / 10) * (1 - 0.999 ** (i + 1)) ** 0.5 / (1 - 0.9 ** (i + 1))
                movie = (movie - rate * momentum / (1 - 0.9 ** (i + 1))).clamp(0, WHITE)
            if self.track and (i % self.track == 0 or i == iterations - 1):
                self.losses.append(self.tracked(movie))
            yield movie
        self.encoder.requires_grad_(False).zero_grad()

    def gradient(self, movie: Tensor) -> Tensor:
        """Return the mean of the sub-clips' unit gradients, masked and clipped, `[T,64,64]`."""
        frames = len(movie)
        starts = [SHIFT * k for k in range(1 + (frames - LENGTH) // SHIFT)] + [frames - LENGTH]
        units = movie.new_full((len(starts), *movie.shape), torch.nan)
        for number, start in enumerate(starts):
            part = slice(start, start + LENGTH)
            stack = torch.cat((movie[None, part], self.planes[:, part]))[None].requires_grad_(True)
            loss = functional.poisson_nll_loss(self.rates(stack), self.responses[:, part].relu(), log_input=False)
            loss.backward()
            if stack.grad is None:
                raise RuntimeError("gradient: expected one for the inputs, got none")
            units[number, part] = stack.grad[0, 0] / (stack.grad.norm() + 1e-6)
        return (units.nanmean(0) * self.mask).clamp(-self.clip, self.clip)

    def rates(self, stack: Tensor) -> Tensor:
        """Return rates `[N,T]` of inputs `[1,5,T,64,64]`: windows of every second frame of 31, one by one, averaged."""
        frames = stack.shape[2]
        total, count = stack.new_zeros(len(self.responses), frames), stack.new_zeros(frames)
        for last in range(30, frames):
            indices = list(range(last - 30, last + 1, 2))
            total[:, indices] += plain_window(self.encoder, stack[:, :, indices])[0]
            count[indices] += 1
        return total / count.clamp_min(1)

    @torch.no_grad()
    def tracked(self, movie: Tensor) -> float:
        """Return the loss of the whole clip's screen in a border of the encoder's own fill, after the first frames."""
        fill = torch.full_like(movie, self.encoder.settings.fill)
        fill[:, 14:50] = torch.where(self.mask, movie, GREY)[:, 14:50]
        rates = self.rates(torch.cat((fill[None], self.planes))[None])
        return float(functional.poisson_nll_loss(rates[:, LENGTH:], self.responses[:, LENGTH:].relu(), log_input=False))


def plain_window(encoder: Any, inputs: Tensor) -> Tensor:
    """Return rates `[B,N,16]` of stacked windows by the published layers as they are: nothing folded, nothing fused."""
    x, parts = encoder.core.stem(inputs), list(encoder.core.blocks)
    for code, block in zip(parts[::2], parts[1::2], strict=True):
        x = code(x)
        inner = block.temp_covn_dw(block.spat_covn_dw(block.conv_pw(x)))
        x = block.conv_pwl(block.se(inner)) + block.bn_sc(block._shortcut(x))
    rates: Tensor = encoder.readout(encoder.cortex(x.mean((3, 4))))
    return rates


def plain_loop(world: Any, encoder: Any, **settings: Any) -> PlainLoop:
    """Return the loop on the clip of a world, on the encoder's device."""
    device = next(encoder.parameters()).device
    data = (world.responses, world.behavior, world.mask >= 0.5)
    return PlainLoop(encoder, *(part.to(device) for part in data), **settings)


def seconds(run: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """Return how long a run took, and its canvas on the CPU."""
    started = time.perf_counter()
    canvas = run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started, canvas.cpu()


def main() -> None:
    """Time the plain loop, with and without weight gradients, and ours."""
    options = argparse.ArgumentParser()
    options.add_argument("--frames", type=int, default=300)
    options.add_argument("--divide", type=int, default=1)
    options.add_argument("--neurons", type=int, default=7863)
    options.add_argument("--iterations", type=int, default=3)
    options.add_argument("--track", type=int, default=10)
    options.add_argument("--device", default="cpu")
    chosen = options.parse_args()
    device = torch.device(chosen.device)
    world = worlds.World(chosen.frames, chosen.neurons)
    encoder = worlds.random_encoder(exact.network(chosen.divide, chosen.neurons)).to(device)
    problem = world.problem(encoder, device)
    runs = {
        "plain, weight gradients": plain_loop(world, encoder, track=chosen.track).run,
        "plain, frozen": plain_loop(world, encoder, weight_gradients=False, track=chosen.track).run,
        "ours": lambda iterations: worlds.canvas(worlds.preset("bauer2025", iterations), problem),
    }
    movies = {}
    for name, run in runs.items():
        run(1)  # Threads, caches and kernels are made in the first iteration.
        taken, movies[name] = seconds(lambda run=run: run(chosen.iterations), device)
        sys.stdout.write(f"{name}: {taken / chosen.iterations:.3f} s per iteration\n")
    first, *_, ours = movies.values()
    sys.stdout.write(f"largest difference {(ours - first).abs().max():.3g} of {(first - GREY).abs().max():.3g} moved\n")


if __name__ == "__main__":
    main()
