"""Two towers that embed movies and responses, frame by frame, in a common space.

Visual–neural alignment (Gao, Rong & He 2025) by symmetric InfoNCE (van den Oord et al. 2018; Radford et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.errors.ranges import Count
from recon.methods.linear.lags import Lags
from recon.methods.neural.read_in import NONLINEARITIES, Transform
from recon.metrics.identification import cosine_similarity


@dataclass(frozen=True)
class TowerSettings:
    """Sizes: `space` dimensions of the common space, `hidden` units, movies downsampled to at most `cells` per side.

    `lags`: frames of responses, relative to a movie frame, that contribute to its embedding. `stride`: frames per
    embedding.
    """

    space: Count = 96
    hidden: Count = 256
    channels: Count = 32
    cells: Count = 32
    stride: Count = 2
    lags: Lags = field(default_factory=lambda: Lags(-2, 15, 5))


class NeuralTower(nn.Module):
    """Responses `[B,n,T]` → embeddings `[B,T',space]`: transform, lags, two linear layers, one over frames."""

    def __init__(self, neurons: int, settings: TowerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.transform = Transform(neurons)
        kernels = settings.lags.kernels()
        self.filters = nn.Parameter(kernels.clone())
        self.first = nn.Linear(NONLINEARITIES * len(kernels) * neurons, settings.hidden)
        self.mixed = nn.Conv1d(settings.hidden, settings.hidden, 3, padding=1)
        self.last = nn.Linear(settings.hidden, settings.space)

    def forward(self, responses: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the embeddings; neurons where `kept` `[B,n]` is False are silenced."""
        values = self.transform(responses)
        values = values if kept is None else values * kept[:, None, :, None]
        series = rearrange(values, "b kind n t -> (b kind n) t")
        filtered = self.settings.lags.filtered(series, self.filters, stride=self.settings.stride)
        features = rearrange(filtered, "(b feature) lag t -> b t (feature lag)", b=len(values))
        hidden = functional.silu(self.first(features))
        hidden = hidden + functional.silu(self.mixed(hidden.transpose(1, 2))).transpose(1, 2)
        embedded: Tensor = self.last(hidden)
        return embedded


class VisualTower(nn.Module):
    """Movie `[B,1,T,H,W]` → embeddings `[B,T',space]`: two strided convolutions, two linear layers, one over frames."""

    mean: Tensor

    def __init__(self, frame_size: tuple[int, int], settings: TowerSettings) -> None:
        super().__init__()
        self.settings = settings
        share = min(1.0, settings.cells / max(frame_size))
        self.size = (max(1, round(frame_size[0] * share)), max(1, round(frame_size[1] * share)))
        height, width = (-(-side // 4) for side in self.size)
        channels = settings.channels
        self.register_buffer("mean", torch.zeros(frame_size))
        self.near = nn.Conv2d(1, channels, 5, stride=2, padding=2)
        self.far = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.first = nn.Linear(2 * channels * height * width, settings.hidden)
        self.mixed = nn.Conv1d(settings.hidden, settings.hidden, 7, padding=3)
        self.last = nn.Linear(settings.hidden, settings.space)

    def forward(self, movie: Tensor) -> Tensor:
        """Return the embeddings."""
        frames = functional.adaptive_avg_pool2d(4 * (movie[:, 0] - self.mean), self.size)
        grouped = rearrange(frames[:, :: self.settings.stride], "b t h w -> (b t) 1 h w")
        seen = functional.silu(self.far(functional.silu(self.near(grouped))))
        flat = rearrange(seen, "bt c h w -> bt (c h w)")
        hidden = rearrange(functional.silu(self.first(flat)), "(b t) d -> b t d", b=len(movie))
        hidden = hidden + functional.silu(self.mixed(hidden.transpose(1, 2))).transpose(1, 2)
        embedded: Tensor = self.last(hidden)
        return embedded


class Towers(nn.Module):
    """A visual and a neural tower, with the learnt log inverse temperature of their similarity."""

    def __init__(self, neurons: int, frame_size: tuple[int, int], settings: TowerSettings) -> None:
        super().__init__()
        self.visual = VisualTower(frame_size, settings)
        self.neural = NeuralTower(neurons, settings)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def loss(self, movie: Tensor, responses: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the symmetric InfoNCE loss of a batch of pairs."""
        return info_nce(self.visual(movie), self.neural(responses, kept), self.log_scale)

    def forward(self, movie: Tensor, responses: Tensor) -> Tensor:
        """Return similarities `[B,B']` of movies and responses of one length."""
        return cosine_similarity(self.visual(movie), self.neural(responses))


def info_nce(first: Tensor, second: Tensor, log_scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss of pairs `[B,T,D]`: each side is identified among those of its batch.

    `log_scale` is the log inverse temperature, at most 4.6 (a factor of 100), as in CLIP.
    """
    logits = log_scale.clamp(max=4.6).exp() * cosine_similarity(first, second)
    pairs = torch.arange(len(logits), device=logits.device)
    return 0.5 * (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs))
