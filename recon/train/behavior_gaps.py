"""Behavior channels of an encoder to be trained: those that the recording has, without gaps unless it learns them."""

from __future__ import annotations

from collections.abc import Sequence

from recon.encoders.base import BEHAVIOR_CHANNELS, Spec
from recon.encoders.behavior import lacking_channels
from recon.encoders.training.clips import TrainingClip
from recon.errors import InputError
from recon.types import Recording

NAMED = 8
"""Trials that a line names."""
OPTIONAL = "optional: the training mean stands for channels that are unknown"
"""What the card says of an encoder trained with behavior dropout."""


def known_share(clip: TrainingClip) -> tuple[float, ...]:
    """Return the share of a clip's frames in which each behavior channel is known.

    >>> import torch
    >>> known_share(TrainingClip(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2), torch.tensor([[0, torch.nan]] * 4)))
    (0.5, 0.5, 0.5, 0.5)
    """
    if clip.behavior is None:
        return (0.0,) * len(BEHAVIOR_CHANNELS)
    return tuple((~clip.behavior.isnan()).double().mean(1).tolist())


def used_channels(
    asked: Sequence[str], known: Sequence[tuple[float, ...]], *, trials: Sequence[int], optional: bool
) -> tuple[str, ...]:
    """Return the channels asked for that any training trial has; `known` are the `known_share` of the `trials`.

    Raises InputError for gaps in them, unless behavior is `optional`.
    """
    there = [row for row, name in enumerate(BEHAVIOR_CHANNELS) if name in asked and any(clip[row] for clip in known)]
    holed = [place for place, clip in enumerate(known) if any(clip[row] < 1 for row in there)]
    if holed and not optional:
        lost = [BEHAVIOR_CHANNELS[row] for row in there if any(known[place][row] < 1 for place in holed)]
        raise gaps_in(lost, [trials[place] for place in holed], "training")
    return tuple(BEHAVIOR_CHANNELS[row] for row in there)


def check_validation(spec: Spec, recording: Recording, trials: Sequence[int]) -> None:
    """Raise InputError for validation trials that lack behavior which an encoder needs."""
    lost = dict[int, tuple[str, ...]]()
    for index in trials if spec.behavior else ():
        behavior = recording.trial(index).behavior
        lacking = lacking_channels(spec, None if behavior is None else behavior[None])
        lost |= {index: lacking} if lacking else {}
    if lost:
        raise gaps_in(list(dict.fromkeys(name for names in lost.values() for name in names)), list(lost), "validation")


def gaps_in(channels: Sequence[str], trials: Sequence[int], tier: str) -> InputError:
    """Return the error for trials of a tier that lack channels in some frames."""
    shown = ", ".join(map(str, trials[:NAMED])) + (f" and {len(trials) - NAMED} more" if len(trials) > NAMED else "")
    return InputError(
        f"behavior: expected {', '.join(channels)} in every frame of the {tier} trials, got gaps in trials {shown}; "
        "set training.behavior_dropout=0.2 to learn to do without, or name other channels in behavior"
    )
