"""Most exciting inputs: the static image of bounded contrast that maximises the rate of a model neuron.

Gradient ascent from noise with smoothed, normalised gradients (Walker et al. 2019; Bashivan et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recon.encoders.base import Encoder, device_of
from recon.methods.training_set import TrainingSet

AT_ONCE = 32
"""Neurons optimised together."""
CONTRAST = 0.15
"""Root mean square of an image's deviation from grey."""


@torch.enable_grad()
def most_exciting(
    encoder: Encoder, neurons: Tensor, generator: torch.Generator, *, steps: int = 12, behavior: Tensor | None = None
) -> Tensor:
    """Return deviations from grey `[n,H,W]`, each of norm 1, for the neurons selected by the mask `neurons` `[N]`.

    The image is static over the encoder's context; `behavior` `[4]` is held constant.
    """
    height, width = encoder.spec.frame_size
    before, after = encoder.spec.context
    frames, chosen = before + 1 + after, neurons.nonzero().flatten()
    device = device_of(encoder)
    budget, found = CONTRAST * (height * width) ** 0.5, []
    for part in torch.split(chosen, AT_ONCE):
        picture = _to_norm(_smooth(torch.randn(len(part), height, width, generator=generator)), 0.3 * budget).to(device)
        held = None if behavior is None else behavior.to(device)[None, :, None].expand(len(part), -1, frames)
        rows = torch.arange(len(part), device=device)
        for step in range(steps):
            leaf = picture.detach().requires_grad_(True)
            movie = (0.5 + leaf)[:, None, None].expand(-1, encoder.spec.channels, frames, -1, -1)
            rate = encoder(movie, held)[rows, part.to(device), before]
            (gradient,) = torch.autograd.grad(rate.sum(), leaf)
            moved = leaf.detach() + _to_norm(_smooth(gradient), budget * (0.5 if step < steps // 2 else 0.2))
            picture = _to_norm(moved, budget)
        found.append(_to_norm(picture, 1.0).cpu())
    return torch.cat(found)


def pictures(training: TrainingSet, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return most exciting inputs `[n,h·w]` on a grid, averaged over the training set's encoders, with norm 1."""
    encoders, held = training.required_encoders("most exciting inputs"), training.mean_behavior()
    found = [most_exciting(one, training.neurons, generator, behavior=held) for one in encoders]
    small = functional.adaptive_avg_pool2d(torch.stack(found).mean(0)[:, None], grid).flatten(1)
    return functional.normalize(small, dim=1)


def _to_norm(pictures: Tensor, norm: float) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(pictures.flatten(1), dim=1)
    return pictures * (norm / length.clamp_min(1e-12))[:, None, None]


def _smooth(pictures: Tensor) -> Tensor:
    """Average over 3×3 pixels, twice: a blur of about one pixel standard deviation."""
    wide = pictures[:, None]
    for _ in range(2):
        wide = functional.avg_pool2d(functional.pad(wide, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return wide[:, 0]
