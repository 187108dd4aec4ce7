"""What the method of a row saw: its declared facts, and what the row gave it; saved with every result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from recon.errors.ranges import Part
from recon.files.code_version import parts_of
from recon.methods.base import Method
from recon.methods.facts import GIVEN, NOTHING, Sees
from recon.problem.conditions import Condition, Words
from recon.study.settings import Row

ORACLES = ("predicted", "noise_free")
"""Conditions whose responses come from the true movie."""


@dataclass(frozen=True)
class Saw:
    """Facts of a result. `titles`: of the method and of those inside it. `animals`: the other animals that it saw.

    `share`: fraction of the training trials. `activity`: what replaced the recorded activity of the clip; empty for
    none. `sees.behavior` is False where no encoder takes behavior.
    """

    titles: tuple[str, ...] = ()
    sees: Sees = field(default_factory=lambda: NOTHING)
    animals: tuple[str, ...] = ()
    condition: Condition = "recorded"
    words: Words = "none"
    share: Part = 1.0
    activity: str = ""

    @property
    def behavior(self) -> bool:
        """True if the behavior of the clip decided the movie."""
        return self.sees.behavior

    @property
    def text(self) -> tuple[str, ...]:
        """The texts that decided the movie: captions, decoded text, or a typed caption in quotes."""
        given = () if self.words == "none" else (f"{self.words} captions",)
        return tuple(word for source in self.sees.text for word in (given if source == GIVEN else (source,)))

    @property
    def truth(self) -> bool:
        """True if the method was given something of the true movie: its rates or its own captions."""
        captioned = GIVEN in self.sees.text and self.words == "true"
        return captioned or (self.sees.activity and self.condition in ORACLES)


def saw_by(method: Method, row: Row, *, behavior: bool) -> Saw:
    """Return what a row's method saw; `behavior`: whether any encoder of the row takes it."""
    sees = method.sees
    return Saw(
        titles=tuple(dict.fromkeys(part.title for part in parts_of(method) if isinstance(part, Method))),
        sees=replace(sees, behavior=sees.behavior and behavior),
        animals=tuple(row.animals) if sees.animals else (),
        condition=row.condition,
        words=row.words if GIVEN in sees.text else "none",
        share=row.data,
        activity=row.activity.name,
    )
