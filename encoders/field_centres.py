"""Receptive-field centres of encoders whose weights hold them."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.encoders.base import Encoder
from recon.encoders.core_readout.model import CoreReadout
from recon.encoders.ensemble import Ensemble
from recon.encoders.glm.model import Glm
from recon.encoders.linear import Linear
from recon.errors import InputError


@torch.no_grad()
def field_centres(encoder: Encoder) -> Tensor:
    """Return the receptive-field centres `[N,2]` of an encoder's neurons: x and y, −1 … 1 of the frame.

    A readout states its positions; of filters the centre is that of their squared weights. A neuron without any weight
    is centred in the frame. Raises InputError for encoders whose weights do not say where their neurons look.
    """
    if isinstance(encoder, CoreReadout):
        return _of_readout(encoder)
    if isinstance(encoder, Glm):
        return centres_of_mass(encoder.space.square().sum(1))
    if isinstance(encoder, Linear):
        return centres_of_mass(encoder.weights.square().sum((1, 2)))
    if isinstance(encoder, Ensemble):
        return torch.stack([field_centres(member) for member in encoder.members if isinstance(member, Encoder)]).mean(0)
    raise InputError(
        f"encoder: expected one with receptive-field centres (core_readout, glm, linear, ensembles of them), got "
        f"{type(encoder).__name__}; train core_readout on the recording"
    )


def centres_of_mass(maps: Tensor) -> Tensor:
    """Return the centres of mass `[N,2]` (x, y in −1 … 1 of the frame) of non-negative maps `[N,H,W]`.

    >>> centres_of_mass(torch.tensor([[[0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    """
    height, width = maps.shape[1:]
    across, down = ((2 * torch.arange(side, device=maps.device) + 1) / side - 1 for side in (width, height))
    total = maps.sum((1, 2)).clamp_min(1e-30)
    return torch.stack([(maps * across).sum((1, 2)), (maps * down[:, None]).sum((1, 2))], 1).div(total[:, None]).cpu()


def _of_readout(encoder: CoreReadout) -> Tensor:
    """Return the centres of a core_readout, the inverse of its `place`."""
    height, width = encoder.spec.frame_size
    _, rows, columns = encoder.readout.in_shape
    mu = encoder.readout.mu[0, :, 0].cpu()
    cell = (mu + 1) / 2 * (torch.tensor([columns, rows]) - 1).clamp_min(1)
    pixels = (cell + encoder.core.first) * encoder.settings.core.block
    centres: Tensor = 2 * pixels / torch.tensor([width, height]) - 1
    return centres
