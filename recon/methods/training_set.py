"""What a method may learn from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from recon.encoders.base import Encoder, device_of
from recon.encoders.identity import state_hash
from recon.encoders.training.loop import seconds_spent
from recon.errors import InputError
from recon.files import one_at_a_time
from recon.methods.artefacts import artefact_path, save_artefact, whole
from recon.problem.problem import Problem
from recon.types import Recording, Trial

CPU = torch.device("cpu")
Learn = Callable[[Path], Mapping[str, Tensor]]
"""What learns: told where the state of a long training is kept, it returns the tensors to keep."""


@dataclass(frozen=True)
class TrainingSet:
    """What a method may learn from: nothing of a test clip is in here.

    `neurons` `[N]` marks those that it may use and `frames` is the length of the clips that it will reconstruct;
    `encoders` are the row's, frozen, and `scale` `[N,1]` is what responses are divided by before they are compared
    with their rates; `validation` returns the problems of validation clips of all lengths, posed as the row's, each
    with the movies that were shown, and `posed_as` says what names these problems. Of the training trials the first
    `share` is read. What is learnt goes to the folder `artefacts`; chance is drawn from `seed`; networks are trained on
    `device`.
    """

    recording: Recording
    neurons: Tensor
    artefacts: Path
    frames: int
    encoders: tuple[Encoder, ...] = ()
    scale: Tensor | None = None
    validation: Callable[[], Sequence[tuple[Problem, Tensor]]] | None = None
    posed_as: str = ""
    share: float = 1.0
    seed: int = 0
    device: torch.device = CPU
    progress: bool = False

    def trials(self) -> Iterator[Trial]:
        """Read the training trials one after another; raises InputError where there are none."""
        yield from map(self.recording.trial, self._indices())

    def responses(self, trial: Trial) -> Tensor:
        """Return the responses `[n,T]` of the neurons that may be used, in the units of problems."""
        chosen = trial.responses[self.neurons]
        return chosen if self.scale is None else chosen / self.scale[self.neurons]

    def evenly_spaced(self, count: int) -> Iterator[Trial]:
        """Read at most `count` training trials, spread evenly over the recording."""
        indices = self._indices()
        yield from map(self.recording.trial, indices[:: max(len(indices) // count, 1)][:count])

    def mean_behavior(self) -> Tensor | None:
        """Return the behavior `[4]` of the training trials on average, or none where none was recorded."""
        means = [trial.behavior.mean(1) for trial in self.trials() if trial.behavior is not None]
        return torch.stack(means).mean(0) if means else None

    def required_encoders(self, what: str) -> tuple[Encoder, ...]:
        """Return the row's encoders; raises InputError where there are none and `what` needs one."""
        if not self.encoders:
            raise InputError(f"{what}: expected the encoders of a row, got none; give the training set one")
        return self.encoders

    @torch.no_grad()
    def rates(self, movie: Tensor, behavior: Tensor | None) -> Tensor:
        """Return the rates `[n,T]` of a movie `[C,T,H,W]` with behavior `[4,T]`, averaged over the row's encoders."""
        found = []
        for encoder in self.required_encoders("rates"):
            device = device_of(encoder)
            seen = None if behavior is None else behavior[None].to(device)
            found.append(encoder(movie[None].to(device), seen)[0].cpu()[self.neurons])
        return torch.stack(found).mean(0)

    def artefact(self, name: str, settings: object, learn: Learn, *, uses: Sequence[str] = ("neurons",)) -> Path:
        """Return the place of an artefact; where nothing is there, `learn` is called, timed, and its tensors are kept.

        It is named by `settings`, whose repr counts, the recording's training and validation trials, and what it
        `uses` of "neurons" (with the units of their responses), "encoders", "frames", "seed" and "validation". `learn`
        is told where to keep the state of a long training, so that an interrupted one goes on.
        """
        known: dict[str, Callable[[], object]] = {
            "neurons": lambda: [self.neurons.nonzero().flatten().tolist(), _plain(self.scale)],
            "encoders": lambda: [state_hash(encoder) for encoder in self.encoders],
            "frames": lambda: self.frames,
            "seed": lambda: self.seed,
            "validation": lambda: self.posed_as,
        }
        inputs: list[object] = [self.recording.learning_fingerprint(), repr(settings)]
        inputs += [{part: known[part]() for part in uses}, *([self.share] if self.share < 1 else [])]
        path = artefact_path(self.artefacts, name, inputs)
        if not whole(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(path):  # of processes that need it, one learns and the others wait
                _learn(learn, path)
        return path

    def _indices(self) -> tuple[int, ...]:
        indices = self.recording.trials("train")
        if not indices:
            raise InputError("training: expected trials of tier 'train', got none; import or simulate some")
        return indices[: max(round(len(indices) * self.share), 1)]


def _learn(learn: Learn, path: Path) -> None:
    if whole(path):
        return
    checkpoint = path.with_suffix(".training")
    began = time.monotonic() - seconds_spent(checkpoint)
    learnt = learn(checkpoint)
    save_artefact(learnt, path, seconds=time.monotonic() - began)


def _plain(scale: Tensor | None) -> list[float] | None:
    return None if scale is None or bool((scale == 1).all()) else scale.flatten().tolist()
