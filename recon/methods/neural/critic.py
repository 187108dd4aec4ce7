"""Adversarial critic of decoded frames, trained jointly with the decoder."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn

from recon.encoders.training.loop import draw_weights, fresh

Network = TypeVar("Network", bound=nn.Module)


class Critic(nn.Module):
    """Frames `[n,1,H,W]` → realism of patches `[n,1,h,w]`: 1 true, 0 decoded (least squares; Mao et al. 2017)."""

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
        """Return the values of the patches."""
        values: Tensor = self.layers(frames)
        return values

    def unmoved(self, frames: Tensor) -> Tensor:
        """Return the same values, with gradients for the frames but not for the critic."""
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        values: Tensor = torch.func.functional_call(self, fixed, (frames,))
        return values


class Rivals(nn.Module, Generic[Network]):
    """A decoder and its critic, trained jointly."""

    decoder: Network
    critic: Critic

    def __init__(self, decoder: Network) -> None:
        super().__init__()
        self.decoder, self.critic = decoder, Critic()


def with_critic(decoder: Network, generator: torch.Generator) -> Rivals[Network]:
    """Return a decoder, unchanged, with a critic initialised from a generator."""
    both = fresh(lambda: Rivals(decoder))
    draw_weights(both.critic, generator, gain=1.0)
    return both


def rivalry(critic: Critic, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least-squares losses of the decoder, which imitates true frames, and of the critic.

    `made` and `true` are movies `[B,1,T,H,W]`; the critic sees single frames.
    """
    made, true = (rearrange(movie, "b 1 t h w -> (b t) 1 h w") for movie in (made, true))
    decoder_loss = (critic.unmoved(made) - 1).square().mean()
    critic_loss = 0.5 * ((critic(true) - 1).square().mean() + critic(made.detach()).square().mean())
    return decoder_loss, critic_loss
