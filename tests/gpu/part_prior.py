"""prior: training and denoising of the movie prior at the shipped architecture, on movies of noise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from gpu.clips import SCREEN, Sizes, movies
from gpu.measure import peak, relative, repeated, timed
from gpu.part import Case, Part, Row
from torch import Tensor

from recon.encoders.training.loop import Learning, learn
from recon.methods.diffusion.sampling import drawn, steps_down
from recon.methods.optimise.parameterise import power_law
from recon.priors.movie_diffusion import MovieDiffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.train.captioned import Captioned
from recon.train.prior import PriorTraining, denoising_loss, started

PRECISIONS = ("float32", "bfloat16")
CLIPS, HIGHEST, LOWEST, SIGMA = 8, 10.0, 0.03, 0.4


def training(sizes: Sizes, *, batch: int, precision: str) -> PriorTraining:
    """Return the shipped training with another batch, on clips that are not drawn."""
    network = MovieUnetSettings(widths=sizes.widths)
    frames = sizes.prior_frames
    return PriorTraining(Path(), network, batch=batch, frames=frames, precision=precision)


def noise_clips(sizes: Sizes) -> Captioned:
    """Return clips of one scene each, with embeddings of no caption in particular."""
    draws = torch.Generator().manual_seed(6)
    shown = (movies(CLIPS, sizes.frames)[:, 0] * 255).byte()
    scenes = tuple((clip, 0, sizes.frames) for clip in range(CLIPS))
    embeddings = torch.randn(CLIPS, 1, MovieUnetSettings().text, generator=draws)
    return Captioned(shown, scenes, embeddings, ("",) * CLIPS)


def model(chosen: PriorTraining, sizes: Sizes, device: torch.device) -> MovieDiffusion:
    """Return a prior with weights from a seed on a device."""
    power = power_law((1, 1, sizes.prior_frames, *SCREEN))
    return started(chosen, torch.Generator().manual_seed(0), power).to(device)


def training_row(device: torch.device, sizes: Sizes, batch: int, precision: str) -> Row:
    """Return steps per second of the training loop with batches drawn on the CPU, as it is used."""
    chosen, draws = training(sizes, batch=batch, precision=precision), torch.Generator().manual_seed(1)
    network, loss = model(chosen, sizes, device), denoising_loss(chosen, noise_clips(sizes))
    if sizes.warm:
        learn(network, loss, Learning(steps=sizes.warm), generator=draws)
    seconds, _ = timed(lambda: learn(network, loss, Learning(steps=sizes.steps), generator=draws), device)
    per_second = sizes.steps / seconds
    return {"steps per s": per_second, "chunks per s": per_second * batch, "peak MiB": peak(device)}


class Denoising:
    """Clean estimates of clips by the same weights in each precision, compared with float32's."""

    def __init__(self, device: torch.device, sizes: Sizes) -> None:
        self.device, self.sizes = device, sizes
        self.expected: Tensor | None = None

    @torch.no_grad()
    def denoised_row(self, precision: str) -> Row:
        """Return seconds of one clean estimate of a whole clip."""
        network, text = self._frozen(precision), torch.zeros(1, MovieUnetSettings().text, device=self.device)
        movie, sigma = movies(1, self.sizes.frames).to(self.device), torch.tensor([SIGMA]).to(self.device)
        seconds, clean = repeated(
            lambda: network(movie, sigma, text), self.device, warm=self.sizes.warm, repeats=self.sizes.repeats
        )
        row: Row = {"s": seconds, "peak MiB": peak(self.device)}
        if self.expected is None:
            self.expected = clean.cpu()
            return row
        return row | {"deviation from float32": relative(clean.cpu(), self.expected)}

    def drawn_row(self, precision: str) -> Row:
        """Return seconds of drawing a clip down the noise levels."""
        network, shape = self._frozen(precision), (1, 1, self.sizes.frames, *SCREEN)
        levels = list(steps_down(self.sizes.levels, HIGHEST, LOWEST))

        def draw() -> Tensor:
            return drawn(network, None, shape, levels, generator=torch.Generator().manual_seed(7))

        seconds, _ = repeated(draw, self.device, warm=min(self.sizes.warm, 1), repeats=self.sizes.repeats)
        return {"s": seconds, "s per level": seconds / self.sizes.levels, "peak MiB": peak(self.device)}

    def _frozen(self, precision: str) -> MovieDiffusion:
        made = model(training(self.sizes, batch=1, precision=precision), self.sizes, self.device)
        state = made.state_dict()
        draws = torch.Generator().manual_seed(8)
        # The last layers start at zero, where every precision gives the same.
        for name in (name for name in state if "time.weight" in name or "leave.weight" in name):
            state[name].copy_(0.05 * torch.randn(state[name].shape, generator=draws))
        return made.eval().requires_grad_(False)


def prior(device: torch.device, sizes: Sizes) -> Part:
    """Return the part."""
    cases: dict[str, Case] = {}
    for batch in sizes.prior_batches:
        for precision in PRECISIONS:
            name = f"training, batch {batch}, {precision}"
            cases[name] = partial(training_row, device, sizes, batch, precision)
    denoising = Denoising(device, sizes)
    for precision in PRECISIONS:
        cases[f"denoising {sizes.frames} frames, {precision}"] = partial(denoising.denoised_row, precision)
    for precision in PRECISIONS:
        name = f"drawing {sizes.frames} frames in {sizes.levels} levels, {precision}"
        cases[name] = partial(denoising.drawn_row, precision)
    return Part("prior", cases)
