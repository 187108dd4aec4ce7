"""Several encoders of one population as one encoder."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from recon.encoders.base import Encoder, Spec
from recon.errors import InputError


class Ensemble(Encoder):
    """The mean of the members' rates; the members predict the same neurons from the same kind of movie."""

    def __init__(self, members: tuple[Encoder, ...]) -> None:
        super().__init__()
        if not members:
            raise InputError("members: expected at least one encoder, got none; name one or more")
        for number, member in enumerate(members[1:], 1):
            _same(members[0], member, number)
        self.members = nn.ModuleList(members)
        contexts = [member.spec.context for member in members]
        context = (max(before for before, _ in contexts), max(after for _, after in contexts))
        behavior = tuple(dict.fromkeys(name for member in members for name in member.spec.behavior))
        self.spec = _with(members[0], context, behavior)
        self.padded_in_time = any(member.padded_in_time for member in members)

    @property
    def canvas(self) -> tuple[int, int]:
        """The members' canvas where they share one, else the frame size."""
        sizes = {member.canvas for member in self.members if isinstance(member, Encoder)}
        return sizes.pop() if len(sizes) == 1 else self.spec.frame_size

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return the mean rates `[B,N,T]`."""
        return torch.stack([member(movie, behavior) for member in self.members]).mean(0)


def _with(member: Encoder, context: tuple[int, int], behavior: tuple[str, ...]) -> Spec:
    return replace(member.spec, context=context, behavior=behavior)


def _same(first: Encoder, other: Encoder, number: int) -> None:
    for name in ("frame_size", "channels", "frame_rate", "neuron_ids", "response_transform"):
        expected, got = getattr(first.spec, name), getattr(other.spec, name)
        if expected != got:
            shown = "other neurons or another order" if name == "neuron_ids" else repr(got)
            wanted = "those of member 0" if name == "neuron_ids" else repr(expected)
            raise InputError(f"member {number}, {name}: expected {wanted}, got {shown}; train it on the same recording")
