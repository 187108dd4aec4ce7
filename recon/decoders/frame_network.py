"""The network of the most-exciting-input decoder, and the critic that tells its frames from true ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.learning import draw_weights, fresh
from recon.decoders.network import pixels
from recon.decoders.read_in import Maps, ReadIn
from recon.lagged import Lags


@dataclass(frozen=True)
class FrameArchitecture:
    """Sizes: a cell of the maps is `block`×`block` pixels; every `stride`-th frame is read and the others lie between.

    `layers` convolutions follow the maps, the first two of 5×5 cells, the others of 3×3, all but the last of `width`.
    """

    block: int = 2
    stride: int = 2
    lags: Lags = field(default_factory=lambda: Lags(-2, 15, 5))
    width: int = 32
    layers: int = 6

    def __post_init__(self) -> None:
        if min(self.block, self.stride, self.width) < 1 or self.layers < 3:
            raise ValueError(
                f"architecture: expected block, stride and width of at least 1 and 3 layers, got {self}; correct it"
            )


class FrameDecoder(nn.Module):
    """Responses `[B,n,T]` → movie `[B,1,T,H,W]`: maps weighted by responses around each frame, then convolutions.

    No layer looks at other frames: time is in the read-in's lags alone.
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
        """Return the movie; neurons where `kept` `[B,n]` is false say nothing."""
        features = self.read_in(responses, self.grid, kept)
        x = features.flatten(0, 1)
        for layer in self.layers:
            x = x + functional.silu(layer(x))
        cells = self.head(x).reshape(*features.shape[:2], -1, *self.grid)
        return pixels(cells, responses.shape[2], self.frame_size) + self.mean


Network = TypeVar("Network", bound=nn.Module)


class Critic(nn.Module):
    """Frames `[n,1,H,W]` → how true their patches look `[n,1,h,w]`: 1 true, 0 not (least squares, Mao et al. 2017)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return the patches' values."""
        values: Tensor = self.layers(frames)
        return values

    def unmoved(self, frames: Tensor) -> Tensor:
        """Return the same values, whose gradient reaches the frames and not the critic."""
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        values: Tensor = torch.func.functional_call(self, fixed, (frames,))
        return values


class Rivals(nn.Module, Generic[Network]):
    """A decoder and its critic, trained at once."""

    decoder: Network
    critic: Critic

    def __init__(self, decoder: Network) -> None:
        super().__init__()
        self.decoder, self.critic = decoder, Critic()


def rivals(
    neurons: int, frame_size: tuple[int, int], architecture: FrameArchitecture, generator: torch.Generator
) -> Rivals[FrameDecoder]:
    """Return a decoder and its critic with weights from a generator; the movie starts near the mean."""
    both = fresh(lambda: Rivals(FrameDecoder(neurons, frame_size, architecture)))
    draw_weights(both, generator, gain=1.0)
    both.decoder.head.weight.data.mul_(0.1)
    return both


def with_critic(decoder: Network, generator: torch.Generator) -> Rivals[Network]:
    """Return a decoder as it is with a critic whose weights come from a generator."""
    both = fresh(lambda: Rivals(decoder))
    draw_weights(both.critic, generator, gain=1.0)
    return both


def rivalry(critic: Critic, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least-squares losses of the maker, who wants its frames taken for true, and of the critic.

    `made` and `true` are movies `[B,1,T,H,W]`, of which each frame is looked at alone.
    """
    made, true = made.flatten(0, 2)[:, None], true.flatten(0, 2)[:, None]
    maker = (critic.unmoved(made) - 1).square().mean()
    judge = 0.5 * ((critic(true) - 1).square().mean() + critic(made.detach()).square().mean())
    return maker, judge
