"""Ensembles: several encoders of one population as a single encoder."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from recon.encoders.base import Encoder, Spec
from recon.errors import InputError


class Ensemble(Encoder):
    """Mean rates of several encoders with the same neurons, frame size, channels, frame rate and response transform."""

    def __init__(self, members: tuple[Encoder, ...]) -> None:
        super().__init__()
        if not members:
            raise InputError("members: expected at least one encoder, got none; name one or more")
        for number, member in enumerate(members[1:], 1):
            _check_matching(members[0], member, number)
        self.members = nn.ModuleList(members)
        contexts = [member.spec.context for member in members]
        context = (max(before for before, _ in contexts), max(after for _, after in contexts))
        self.spec = replace(_merged_spec(members), context=context)
        self.padded_in_time = any(member.padded_in_time for member in members)

    @property
    def canvas(self) -> tuple[int, int]:
        """Canvas of the members if they all share one, else the frame size."""
        sizes = {member.canvas for member in self.members if isinstance(member, Encoder)}
        return sizes.pop() if len(sizes) == 1 else self.spec.frame_size

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return the mean rates `[B,N,T]`."""
        return torch.stack([member(movie, behavior) for member in self.members]).mean(0)


def _merged_spec(members: tuple[Encoder, ...]) -> Spec:
    """Return the Spec of the first member with the behavior of all; optional only where each member can do without.

    Members fill in their own means; those of the ensemble are the first member's of each channel.
    """
    used = [member.spec for member in members if member.spec.behavior]
    behavior = tuple(dict.fromkeys(name for spec in used for name in spec.behavior))
    means: dict[str, float] = {}
    for spec in reversed(used):
        means |= zip(spec.behavior, spec.behavior_means, strict=False)
    optional = all(spec.behavior_means for spec in used)
    chosen = tuple(means[name] for name in behavior) if optional else ()
    return replace(members[0].spec, behavior=behavior, behavior_means=chosen)


def _check_matching(first: Encoder, other: Encoder, number: int) -> None:
    for name in ("frame_size", "channels", "frame_rate", "neuron_ids", "response_transform"):
        expected, got = getattr(first.spec, name), getattr(other.spec, name)
        if expected != got:
            shown = "other neurons or another order" if name == "neuron_ids" else repr(got)
            wanted = "those of member 0" if name == "neuron_ids" else repr(expected)
            raise InputError(f"member {number}, {name}: expected {wanted}, got {shown}; train it on the same recording")
