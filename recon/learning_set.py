"""What a method may learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from encoders.base import Encoder
from recon.artefacts import artefact_path, state_hash
from recon.problem import Problem
from recon.types import Recording, Trial

CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainingSet:
    """What a method may learn from: nothing of a test clip is in here.

    `neurons` `[N]` marks those that it may use and `frames` is the length of the clips that it will reconstruct;
    `encoders` are the row's, frozen, and `scale` `[N,1]` is what responses are divided by before they are compared
    with their rates; `validation` returns the problems of validation clips, posed as the row's, each with the movies
    that were shown, and `posed_as` says what names these problems. What is learnt goes to the folder `artefacts`;
    chance is drawn from `seed`; networks are trained on `device`.
    """

    recording: Recording
    neurons: Tensor
    artefacts: Path
    frames: int
    encoders: tuple[Encoder, ...] = ()
    scale: Tensor | None = None
    validation: Callable[[], Sequence[tuple[Problem, Tensor]]] | None = None
    posed_as: str = ""
    seed: int = 0
    device: torch.device = CPU
    progress: bool = False

    def trials(self) -> Iterator[Trial]:
        """Read the training trials one after another; raises ValueError where there are none."""
        indices = self.recording.trials("train")
        if not indices:
            raise ValueError("training: expected trials of tier 'train', got none; import or simulate some")
        yield from map(self.recording.trial, indices)

    def responses(self, trial: Trial) -> Tensor:
        """Return the responses `[n,T]` of the neurons that may be used, in the units of problems."""
        chosen = trial.responses[self.neurons]
        return chosen if self.scale is None else chosen / self.scale[self.neurons]

    def path(self, settings: Mapping[str, object], *, uses: Sequence[str] = ("neurons",)) -> Path:
        """Return the place of an artefact with these settings (one is its `name`), made from what it `uses`.

        The recording always counts; beside it "neurons" (with the units of their responses), "encoders", "frames",
        "seed", "validation".
        """
        known: dict[str, Callable[[], object]] = {
            "neurons": lambda: [self.neurons.nonzero().flatten().tolist(), _plain(self.scale)],
            "encoders": lambda: [state_hash(encoder) for encoder in self.encoders],
            "frames": lambda: self.frames,
            "seed": lambda: self.seed,
            "validation": lambda: self.posed_as,
        }
        inputs = [self.recording.fingerprint(), dict(settings), {name: known[name]() for name in uses}]
        return artefact_path(self.artefacts, str(settings["name"]), inputs)


def _plain(scale: Tensor | None) -> list[float] | None:
    return None if scale is None or bool((scale == 1).all()) else scale.flatten().tolist()
