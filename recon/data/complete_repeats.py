"""Gaps in repeats: a unit's repeat, of responses `[N,R,T]`, is complete if none of its bins is NaN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from recon.data.noise_ceiling import joined_repeats

FEWEST = 2
"""Fewest complete repeats of a unit that tell its signal from its noise."""
NAMED = 20
"""Units that a line names."""


def complete_repeats(responses: Tensor) -> Tensor:
    """Return `[N,R]`: True where a unit's repeat, of responses `[N,R,T]`, has no NaN.

    >>> complete_repeats(torch.tensor([[[1.0, 2.0], [3.0, torch.nan]]])).tolist()
    [[True, False]]
    """
    return ~responses.isnan().any(-1)


def sharing(patterns: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (units, pattern) for every distinct row of `patterns` `[N,K]`: the indices of the units that share it.

    >>> [units.tolist() for units, _ in sharing(torch.tensor([[1, 1], [0, 1], [1, 1]]))]
    [[1], [0, 2]]
    """
    rows, member = torch.unique(patterns.long(), dim=0, return_inverse=True)
    for number, pattern in enumerate(rows):
        yield (member == number).nonzero()[:, 0], pattern.to(patterns.dtype)


def joined_complete(clips: Sequence[Tensor]) -> Tensor:
    """Concatenate clips `[R_c,N,T_c]` in time to `[R,N,T]`, each unit with its complete repeats alone.

    A unit with fewer repeats, or in fewer clips, fills the first of its R × T entries; the others are NaN.
    """
    known = [complete_repeats(clip.transpose(0, 1)) for clip in clips]
    if all(bool(complete.all()) for complete in known):
        return joined_repeats(clips)
    counts = torch.stack([complete.sum(1) for complete in known], 1)
    parts = [(units, _joined(clips, known, units)) for units, count in sharing(counts) if bool(count.any())]
    sizes = [part.shape for _, part in parts] or [torch.Size([0, 0, 0])]
    whole = clips[0].new_full((max(size[0] for size in sizes), len(counts), max(size[2] for size in sizes)), torch.nan)
    for units, part in parts:
        whole[: len(part), units, : part.shape[2]] = part
    return whole


def sizes_of(joined: Tensor) -> Tensor:
    """Return `[N,2]`: the repeats and the frames of every unit of `joined_complete`."""
    if not joined.numel():
        return torch.zeros(joined.shape[1], 2, dtype=torch.long)
    known = ~joined.isnan()
    return torch.stack([known[:, :, 0].sum(0), known[0].sum(1)], 1)


def span_of(counts: Tensor) -> str:
    """Return the range of whole numbers in words.

    >>> span_of(torch.tensor([3, 8])), span_of(torch.tensor([5, 5]))
    ('3–8', '5')
    """
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low}–{high}"


def named(units: Sequence[object]) -> str:
    """Return units by name, the first `NAMED` of them.

    >>> named([4, 7])
    '4, 7'
    """
    more = len(units) - NAMED
    return ", ".join(map(str, units[:NAMED])) + (f" and {more} more" if more > 0 else "")


def _joined(clips: Sequence[Tensor], known: Sequence[Tensor], units: Tensor) -> Tensor:
    """Return the repeats `[r,n,t]` of units that have equally many in every clip, each in the order of its own."""
    chosen = []
    for clip, complete in zip(clips, known, strict=True):
        first = (~complete[units]).to(torch.uint8).argsort(dim=1, stable=True)
        chosen.append(clip[first[:, : int(complete[units[0]].sum())].T, units])
    enough = [part for part in chosen if len(part) >= FEWEST]
    return joined_repeats(enough) if enough else torch.cat([part for part in chosen if len(part)], -1)
