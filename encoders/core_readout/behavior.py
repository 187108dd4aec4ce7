"""Behavioral modulation: a gain per neuron, and a receptive-field shift with the pupil."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from recon.errors import InputError

HIDDEN = 8
LIMIT = 1.5
"""Largest absolute log gain."""


class BehaviorGain(nn.Module):
    """Gain `[B,T,N]` = exp(bounded MLP of z-scored behavior `[B,K,T]`), one value per neuron and frame."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, neurons: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.hidden = nn.Linear(channels, HIDDEN)
        self.out = nn.Linear(HIDDEN, neurons)

    def initialise(self, generator: torch.Generator) -> None:
        """Initialise to gain 1."""
        with torch.no_grad():
            self.hidden.weight.normal_(0, 0.5, generator=generator)
            self.hidden.bias.normal_(0, 0.5, generator=generator)
            self.out.weight.zero_()
            self.out.bias.zero_()

    def forward(self, behavior: Tensor) -> Tensor:
        """Return the gain of every neuron."""
        z = ((behavior.transpose(1, 2) - self.mean) / self.std).clamp(-4, 4)
        logarithm: Tensor = self.out(torch.tanh(self.hidden(z)))
        return torch.exp(LIMIT * torch.tanh(logarithm / LIMIT))


class PupilShift(nn.Module):
    """Common shift `[B,T,2]` of all readout positions (x, y in half frames), by neuralpredictors' MLP shifter."""

    mean: Tensor
    std: Tensor

    def __init__(self, rows: tuple[int, int]) -> None:
        super().__init__()
        from neuralpredictors.layers.shifters import MLP

        self.rows = rows
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("std", torch.ones(2))
        self.network = MLP(input_features=2, hidden_channels=5, shift_layers=2)

    def initialise(self, generator: torch.Generator) -> None:
        """Initialise to a near-zero shift."""
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.normal_(0, 0.05, generator=generator)

    def forward(self, behavior: Tensor) -> Tensor:
        """Return the shift for behavior `[B,K,T]`."""
        z = (behavior[:, self.rows].transpose(1, 2) - self.mean) / self.std
        shift: Tensor = rearrange(self.network(rearrange(z, "b t k -> (b t) k")), "(b t) xy -> b t xy", b=len(z))
        return shift


def pupil_shift(behavior: tuple[str, ...]) -> PupilShift:
    """Return a shifter that reads pupil position from an encoder's behavior channels."""
    if "pupil_x" not in behavior or "pupil_y" not in behavior:
        raise InputError(f"shifter: expected behavior channels pupil_x and pupil_y, got {behavior}; add them both")
    return PupilShift((behavior.index("pupil_x"), behavior.index("pupil_y")))
