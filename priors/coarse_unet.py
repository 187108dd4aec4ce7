"""Network of the coarse stage of the cascade: a space–time U-Net that reads captions word by word."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.errors import InputError
from recon.errors.ranges import Count, Depth, Levels
from recon.priors.movie_unet import FREQUENCIES, noise_angles, upsampled_in_time

GROUPS = 8
"""Groups of channels that are normalised together, per frame."""
GRID = (5, 8)
"""Cells of the learnt map of positions; other sizes are interpolated from it."""


@dataclass(frozen=True)
class CoarseUnetSettings:
    """Sizes of the coarse U-Net: cells of `patch`×`patch` pixels from `inputs` views, `widths` channels per level.

    `depths` counts the convolutional blocks of each level before, and again after, the coarser levels. Levels after
    the first, which halve the resolution in space and time, end with attention to the frame and to the words of its
    caption, with `heads` heads. `text` is the length of a token embedding, `words` that of its projection.
    """

    widths: Annotated[tuple[Count, ...], Levels] = (64, 128, 192)
    depths: Annotated[tuple[Depth, ...], Levels] = (1, 2, 2)
    patch: Count = 2
    inputs: Count = 2
    heads: Count = 4
    text: Count = 384
    words: Count = 128
    steering: Count = 192

    def __post_init__(self) -> None:
        unequal = len(self.widths) != len(self.depths)
        if unequal or any(width % GROUPS or width % self.heads for width in self.widths):
            raise InputError(
                f"coarse U-Net: expected as many depths as widths, and widths that {GROUPS} and the heads divide, got "
                f"{self}; correct it"
            )


class Told(NamedTuple):
    """Captions of clips: S texts `[B,S,L,D]` of L tokens, the first a sentence vector; NaN where there is none.

    `frame` `[B,T]` is the number of the text of each frame.
    """

    texts: Tensor
    frame: Tensor


class Words(NamedTuple):
    """Projected tokens `[B,S,L,E]`, which of them exist `[B,S,L]`, and the text of each frame `[B,T]`."""

    tokens: Tensor
    known: Tensor
    frame: Tensor


class ConvolvedBlock(nn.Module):
    """x + time(σ(space(σ(a·norm(x) + b)))) on `[B,T,C,h,w]`, over 3×3 cells and 3 frames; a, b come from the steering.

    Group normalisation is over one frame, so that clips of any length are treated alike. The last layer starts at zero.
    """

    def __init__(self, channels: int, steering: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, affine=False)
        self.steer = nn.Linear(steering, 2 * channels)
        self.space = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Conv1d(channels, channels, 3, padding=1)
        for parameter in self.time.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, steering: Tensor) -> Tensor:
        """Return features of the same shape; `steering` is `[B,T,E]`."""
        batch, _, _, height, _ = x.shape
        scale, shift = rearrange(self.steer(steering).to(x.dtype), "b t e -> (b t) e 1 1").chunk(2, 1)
        normal = self.norm(rearrange(x, "b t c h w -> (b t) c h w"))
        inner = functional.silu(self.space(functional.silu(torch.addcmul(normal + shift, normal, scale))))
        by_cell = rearrange(rearrange(inner, "bt c h w -> bt h w c"), "(b t) h w c -> b t (h w) c", b=batch)
        series = rearrange(by_cell, "b t cell c -> b c t cell")
        mixed = functional.conv2d(series, self.time.weight[..., None], self.time.bias, padding=(1, 0))
        return x + rearrange(mixed, "b c t (h w) -> b t c h w", h=height)


class ReadingBlock(nn.Module):
    """Attention of each frame's cells to one another and to the words of its caption, on `[B,T,C,h,w]`.

    Vaswani et al. 2017, before a network of two layers; no cell attends to another frame. Output layers start at zero.
    """

    def __init__(self, channels: int, *, words: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.inside = nn.Linear(channels, 3 * channels)
        self.asked = nn.Linear(channels, channels)
        self.said = nn.Linear(words, 2 * channels)
        self.leave = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))
        self.wide = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)
        for layer in (*self.leave, self.narrow):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, words: Words) -> Tensor:
        """Return features of the same shape."""
        batch, frames, _, height, _ = x.shape
        cells = rearrange(x, "b t c h w -> (b t) (h w) c")
        q, k, v = self._split(self.inside(self.norms[0](cells)), 3)
        cells = cells + self.leave[0](_attended(q, k, v, None))
        q = self._split(self.asked(self.norms[1](cells)), 1)[0]
        k, v = (self._of_frames(part, words.frame) for part in self.said(words.tokens).chunk(2, -1))
        mask = rearrange(_at_frames(words.known, words.frame), "b t l -> (b t) 1 1 l")
        cells = cells + self.leave[1](_attended(q, k, v, mask))
        cells = cells + self.narrow(functional.silu(self.wide(self.norms[2](cells))))
        found: Tensor = rearrange(cells, "(b t) (h w) c -> b t c h w", b=batch, t=frames, h=height)
        return found

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        return rearrange(x, "n l (p m d) -> p n m l d", p=parts, m=self.heads).unbind(0)

    def _of_frames(self, tokens: Tensor, frame: Tensor) -> Tensor:
        return rearrange(_at_frames(tokens, frame), "b t l (m d) -> (b t) m l d", m=self.heads)


class CoarseUnet(nn.Module):
    """Movies `[B,K,T,H,W]` in K views, ln σ / 4 `[B]` and captions → one movie `[B,1,T,H,W]`."""

    def __init__(self, settings: CoarseUnetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths, cells, steering = settings.widths, settings.patch**2, settings.steering
        self.noise = nn.Sequential(nn.Linear(2 * FREQUENCIES, steering), nn.SiLU(), nn.Linear(steering, steering))
        self.sentence, self.token = nn.Linear(settings.text, settings.words), nn.Linear(settings.text, settings.words)
        self.no_text = nn.Parameter(torch.zeros(settings.words))
        self.summary = nn.Linear(settings.words, steering)
        self.enter = nn.Conv2d(settings.inputs * cells, widths[0], 3, padding=1)
        self.place = nn.Parameter(torch.zeros(widths[1] if len(widths) > 1 else widths[0], *GRID))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, padding=1) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.before = nn.ModuleList(self._level(level) for level in range(len(widths)))
        self.after = nn.ModuleList(self._level(level) for level in range(len(widths) - 1))
        self.leave = nn.Conv2d(widths[0], cells, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def _level(self, level: int) -> nn.ModuleList:
        settings, width = self.settings, self.settings.widths[level]
        blocks = nn.ModuleList(ConvolvedBlock(width, settings.steering) for _ in range(settings.depths[level]))
        if level:
            blocks.append(ReadingBlock(width, words=settings.words, heads=settings.heads))
        return blocks

    def forward(self, movie: Tensor, level: Tensor, told: Told) -> Tensor:
        """Return the movie."""
        batch, _, frames, height, width = movie.shape
        patch, span = self.settings.patch, 2 ** (len(self.settings.widths) - 1)
        flat = rearrange(movie, "b k t h w -> (b t) k h w")
        padded = functional.pad(flat, (0, -width % patch, 0, -height % patch), mode="replicate")
        series = rearrange(padded, "(b t) k h w -> b t k h w", t=frames)
        longer = _longer(series, span)
        cells = functional.pixel_unshuffle(rearrange(longer, "b t k h w -> (b t) k h w"), patch)
        entered = self.enter(cells.contiguous(memory_format=torch.channels_last))
        words = self._words(told._replace(frame=_longer(told.frame, span)))
        steering = self._steering(level, words)
        features = self._network(rearrange(entered, "(b t) c h w -> b t c h w", b=batch), steering, words, 0)
        left = self.leave(rearrange(functional.silu(features), "b t c h w -> (b t) c h w"))
        shown = rearrange(functional.pixel_shuffle(left, patch), "(b t) 1 h w -> b 1 t h w", b=batch)
        return shown[:, :, :frames, :height, :width]

    def _words(self, told: Told) -> Words:
        """Return projected tokens; a text that does not exist is one learnt token."""
        known = ~told.texts[..., 0].isnan()
        texts = told.texts.nan_to_num(0.0)
        tokens = torch.cat([self.sentence(texts[..., :1, :]), self.token(texts[..., 1:, :])], -2)
        silent = ~known.any(-1)
        first = torch.where(silent[..., None], self.no_text.to(tokens.dtype), tokens[..., 0, :])
        tokens = torch.cat([first[..., None, :], tokens[..., 1:, :]], -2)
        known = torch.cat([known[..., :1] | silent[..., None], known[..., 1:]], -1)
        return Words(tokens, known, told.frame)

    def _steering(self, level: Tensor, words: Words) -> Tensor:
        noise = self.noise(noise_angles(level))[:, None]
        weight = words.known[..., None].to(words.tokens)
        mean = self.summary((words.tokens * weight).sum(-2) / weight.sum(-2))
        found: Tensor = functional.silu(noise + _at_frames(mean, words.frame))
        return found

    def _network(self, x: Tensor, steering: Tensor, words: Words, level: int) -> Tensor:
        x = _apply(self.before[level], x, steering, words)
        if level == len(self.down):
            return x
        images = rearrange(x, "b (t pair) c h w -> b t pair c h w", pair=2).mean(2).flatten(0, 1)
        below = self.down[level](functional.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False))
        if level == 0:
            below = below + functional.interpolate(self.place[None].to(below.dtype), below.shape[-2:], mode="bilinear")
        # A pair of frames takes the caption of its first.
        slower, fewer = steering[:, ::2], words._replace(frame=words.frame[:, ::2])
        lower = self._network(rearrange(below, "(b t) c h w -> b t c h w", b=len(x)), slower, fewer, level + 1)
        finer = functional.interpolate(self.up[level](lower.flatten(0, 1)), x.shape[-2:], mode="bilinear")
        series = upsampled_in_time(rearrange(finer, "(b t) c h w -> b t c h w", b=len(x)))
        return _apply(self.after[level], x + series, steering, words)


def _apply(blocks: nn.Module, x: Tensor, steering: Tensor, words: Words) -> Tensor:
    for block in blocks.children():
        x = block(x, words) if isinstance(block, ReadingBlock) else block(x, steering)
    return x


def _longer(series: Tensor, span: int) -> Tensor:
    """Return a series `[B,T,…]` lengthened to a multiple of `span` by its last frame."""
    missing = -series.shape[1] % span
    return torch.cat([series, series[:, -1:].expand(-1, missing, *series.shape[2:])], 1) if missing else series


def _at_frames(texts: Tensor, frame: Tensor) -> Tensor:
    """Return the entry `[B,T,…]` of texts `[B,S,…]` at the text of each frame `[B,T]`."""
    return texts[torch.arange(len(texts), device=texts.device)[:, None], frame]


def _attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return attention `[N,L,M·D]` of M heads; for few cells and words, two products cost less than a fused kernel."""
    match = q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)
    if mask is not None:
        match = match.masked_fill(~mask, -torch.inf)
    found: Tensor = rearrange(match.softmax(-1).to(v.dtype) @ v, "n m l d -> n l (m d)")
    return found
