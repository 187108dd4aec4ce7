"""Behavior given to an encoder: the channels that its Spec names, refused where unknown unless a mean stands for them.

NaN marks a frame in which a channel was not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon.encoders.base import BEHAVIOR_CHANNELS, Spec
from recon.errors import InputError

LOSSES = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0, 0]], dtype=torch.bool)
"""Channels that are lost together: all, those of the eye tracker, that of the treadmill."""
REMEDY = "use an encoder trained without it, or with training.behavior_dropout"


def chosen_behavior(spec: Spec, behavior: Tensor | None, frames: Tensor) -> Tensor | None:
    """Return the behavior channels `[B,K,T]` named by the Spec, out of `[B,4,T]`; None if it names none.

    `frames` `[B,T,…]` gives the size of a batch without behavior. Unknown values (NaN) and behavior None become the
    means of the Spec; without means they are refused.
    """
    if not spec.behavior:
        return None
    if behavior is None:
        refuse_unknown(spec, behavior)
        behavior = frames.new_full((len(frames), len(BEHAVIOR_CHANNELS), frames.shape[1]), torch.nan)
    chosen = behavior[:, [BEHAVIOR_CHANNELS.index(name) for name in spec.behavior]]
    if not spec.behavior_means:
        refuse_unknown(spec, behavior)
        return chosen
    means = chosen.new_tensor(spec.behavior_means).reshape(-1, *(1,) * (chosen.ndim - 2))
    return torch.where(chosen.isnan(), means, chosen)


def refuse_unknown(spec: Spec, behavior: Tensor | None) -> None:
    """Raise InputError if an encoder needs behavior that is unknown, naming the channels."""
    lacking = lacking_channels(spec, behavior)
    if lacking:
        got = "none" if behavior is None else "NaN in some frames"
        raise InputError(
            f"behavior: expected the channels {', '.join(lacking)}, got {got}; give behavior [B,4,T], or {REMEDY}"
        )


def lacking_channels(spec: Spec, behavior: Tensor | None) -> tuple[str, ...]:
    """Return the channels that an encoder needs and that are unknown in any frame of behavior `[B,4,T]`.

    >>> spec = Spec((36, 64), (1,), behavior=("running_speed", "pupil_x"))
    >>> lacking_channels(spec, torch.tensor([[[torch.nan], [0.0], [torch.nan], [0.0]]]))
    ('pupil_x',)
    """
    if not spec.behavior or spec.behavior_means:
        return ()
    if behavior is None:
        return spec.behavior
    unknown = behavior.isnan().movedim(1, 0).flatten(1).any(1).tolist()
    return tuple(name for name in spec.behavior if unknown[BEHAVIOR_CHANNELS.index(name)])


def behavior_moments(names: Sequence[str], behaviors: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation `[K]` of channels over the frames of clips `[4,T]` in which they are known."""
    rows = [BEHAVIOR_CHANNELS.index(name) for name in names]
    values = torch.cat([behavior[rows] for behavior in behaviors if behavior is not None], 1)
    if not bool(values.isnan().any()):
        return values.mean(1), values.std(1).clamp_min(1e-6)
    known = [row[~row.isnan()] for row in values]
    if min(map(len, known)) < 2:
        lost = ", ".join(name for name, row in zip(names, known, strict=True) if len(row) < 2)
        raise InputError(f"behavior: expected frames with {lost}, got only NaN; leave this channel out")
    return torch.stack([row.mean() for row in known]), torch.stack([row.std() for row in known]).clamp_min(1e-6)


def stacked_behavior(behaviors: Sequence[Tensor | None]) -> Tensor | None:
    """Return behavior `[B,4,T]` of samples `[4,T]`, NaN for those without; None if none has any."""
    known = next((behavior for behavior in behaviors if behavior is not None), None)
    if known is None:
        return None
    return torch.stack([torch.full_like(known, torch.nan) if one is None else one for one in behaviors])


def known_mean(values: Tensor, *axes: int, keepdim: bool = False) -> Tensor:
    """Return the mean over axes of what is not NaN; NaN where nothing is."""
    return values.nanmean(axes, keepdim) if bool(values.isnan().any()) else values.mean(axes, keepdim)


def drawn_loss(share: float, generator: torch.Generator) -> int | None:
    """Return the row of `LOSSES` that a sample loses, or None, with probability 1 − `share`."""
    kind = int(torch.randint(len(LOSSES), (), generator=generator))
    return kind if float(torch.rand((), generator=generator)) < share else None


def without_some(behavior: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return behavior `[B,4,T]` in which a random `share` of the samples lose channels: NaN.

    A sample loses all of them, those of the eye tracker or that of the treadmill, each in a third of the cases.
    """
    lost = torch.rand(len(behavior), generator=generator) < share
    kind = torch.randint(len(LOSSES), (len(behavior),), generator=generator)
    gone = (lost[:, None] & LOSSES[kind])[..., None].to(behavior.device)
    return behavior.masked_fill(gone, torch.nan)
