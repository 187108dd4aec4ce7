"""Scores of DwiseNeuro on windows: the published Poisson loss and single-trial correlation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from recon.correlation import pearson_of_sums
from recon.encoders.dwiseneuro.network import DwiseNetwork, DwiseSettings
from recon.encoders.dwiseneuro.sampling import Mouse, Window, cut, places
from recon.encoders.runtime.precision import autocast
from recon.encoders.training.clips import moments

EPSILON = 1e-8
"""Added to rates inside the logarithm."""

Precision = Literal["float32", "bfloat16"]


def misfit(rates: Tensor, responses: Tensor) -> Tensor:
    """Return each sample's Poisson loss `[B]`: the sum over neurons and frames of r − y log(r + ε)."""
    rates = rates.to(torch.promote_types(rates.dtype, torch.float32))
    return (rates - responses * (rates + EPSILON).log()).sum((1, 2))


@torch.no_grad()
def validate(
    network: DwiseNetwork, mice: Sequence[Mouse], *, batch: int, precision: Precision = "float32"
) -> dict[str, float]:
    """Return loss and single-trial correlation over non-overlapping windows of the validation trials, as published.

    Windows span 31 frames and use every second one. The correlation is averaged over neurons, then mice.
    """
    network.eval()
    device, loss, count, scores = next(network.parameters()).device, 0.0, 0, []
    for index, mouse in enumerate(mice):
        sums = torch.zeros(6, len(mouse.subject.neuron_ids), dtype=torch.float64)
        for windows in _batched(_tiles(mouse, network.settings), batch):
            inputs, responses = (torch.stack(part).to(device) for part in zip(*windows, strict=True))
            with autocast(device, precision):
                rates = network(inputs, index)
            loss, count = loss + float(misfit(rates, responses).sum()), count + len(windows)
            sums += moments(*(rearrange(values, "b n t -> n (b t)") for values in (rates, responses)))
        scores.append(float(pearson_of_sums(sums).float().nanmean()))
    named = {f"validation/{mouse.subject.name}": score for mouse, score in zip(mice, scores, strict=True)}
    mean = sum(scores) / len(scores)
    return {"validation_loss": loss / count, "validation_correlation": mean, **(named if len(mice) > 1 else {})}


def _tiles(mouse: Mouse, settings: DwiseSettings) -> Iterator[Window]:
    for clip in mouse.validation:
        for start_frame in range(0, places(clip, settings), settings.span):
            yield cut(clip, settings, start_frame, means=mouse.subject.behavior_means)


def _batched(windows: Iterator[Window], size: int) -> Iterator[list[Window]]:
    batch: list[Window] = []
    for window in windows:
        batch.append(window)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
