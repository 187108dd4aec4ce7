"""Frame-wise network of the MEIcoder: each frame is decoded independently from the responses around it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.training.loop import draw_weights, fresh
from recon.errors import InputError
from recon.errors.ranges import Count, Depth
from recon.methods.linear.lags import Lags
from recon.methods.neural.critic import Rivals, with_critic
from recon.methods.neural.network import movie_from_cells
from recon.methods.neural.read_in import Maps, ReadIn


@dataclass(frozen=True)
class FrameArchitecture:
    """Sizes: grid cells of `block`×`block` pixels; every `stride`-th frame is decoded, the others are interpolated.

    `layers` convolutions follow the maps, the first two of 5×5 cells, the others of 3×3, all but the last of `width`.
    """

    block: Count = 2
    stride: Count = 2
    lags: Lags = field(default_factory=lambda: Lags(-2, 15, 5))
    width: Count = 32
    layers: Depth = 6

    def __post_init__(self) -> None:
        if min(self.block, self.stride, self.width) < 1 or self.layers < 3:
            raise InputError(
                f"architecture: expected block, stride and width of at least 1 and 3 layers, got {self}; correct it"
            )


class FrameDecoder(nn.Module):
    """Responses `[B,n,T]` → movie `[B,1,T,H,W]`: maps weighted by the responses around each frame, then convolutions.

    Only the lags of the read-in mix frames.
    """

    mean: Tensor

    def __init__(self, neurons: int, frame_size: tuple[int, int], architecture: FrameArchitecture) -> None:
        super().__init__()
        self.frame_size, self.architecture = frame_size, architecture
        block, width = architecture.block, architecture.width
        self.grid = (-(-frame_size[0] // block), -(-frame_size[1] // block))
        painter = Maps(neurons, self.grid)
        self.read_in = ReadIn(neurons, width, painter, lags=architecture.lags, stride=architecture.stride)
        sides = [5, 5, *[3] * (architecture.layers - 3)]
        self.layers = nn.ModuleList(nn.Conv2d(width, width, side, padding=side // 2) for side in sides)
        self.head = nn.Conv2d(width, block**2, 3, padding=1)
        self.register_buffer("mean", torch.zeros(frame_size))

    def forward(self, responses: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the movie; neurons where `kept` `[B,n]` is False are silenced."""
        features = self.read_in(responses, self.grid, kept)
        x = features.flatten(0, 1)
        for layer in self.layers:
            x = x + functional.silu(layer(x))
        cells = self.head(x).reshape(*features.shape[:2], -1, *self.grid)
        return movie_from_cells(cells, responses.shape[2], self.frame_size) + self.mean


def rivals(
    neurons: int, frame_size: tuple[int, int], architecture: FrameArchitecture, generator: torch.Generator
) -> Rivals[FrameDecoder]:
    """Return a decoder and its critic, initialised from a generator; the movie starts near the mean."""
    decoder = fresh(lambda: FrameDecoder(neurons, frame_size, architecture))
    draw_weights(decoder, generator, gain=1.0)
    decoder.head.weight.data.mul_(0.1)
    return with_critic(decoder, generator)
