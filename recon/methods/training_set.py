"""Training data of methods."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from recon.encoders.base import Encoder, device_of
from recon.encoders.behavior import known_mean
from recon.encoders.identity import state_hash
from recon.encoders.training.loop import seconds_spent
from recon.errors import InputError
from recon.files.code_version import modules_of
from recon.files.locks import one_at_a_time
from recon.files.sealed import whole
from recon.methods.artefacts import artefact_path, save_artefact
from recon.methods.named_files import content_named
from recon.problem.problem import Problem
from recon.types import Recording, Trial

CPU = torch.device("cpu")
Learn = Callable[[Path], Mapping[str, Tensor]]
"""Learning function: takes the path of its training checkpoint, returns the tensors to keep."""


@dataclass(frozen=True)
class TrainingSet:
    """Training data of a method; excludes test clips.

    `neurons` `[N]`: mask of the neurons a method may use. `frames`: length of the clips to reconstruct. `encoders`: the
    row's encoders, frozen. `scale` `[N,1]`: divisor that converts responses to the unit of the rates. `validation`
    returns the problems of all validation clips, posed as the row's, each with its true movie; `posed_as` identifies
    these problems. `share`: fraction of the training trials to read, from the first. `artefacts`: folder for what is
    learnt. `seed`: random seed. `device`: device for training networks.
    `asked`: in a dry run, collects the paths of artefacts; none is learnt.
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
    asked: list[Path] | None = None

    def trials(self) -> Iterator[Trial]:
        """Read the training trials in order; raises InputError if there are none."""
        yield from map(self.recording.trial, self._indices())

    def responses(self, trial: Trial) -> Tensor:
        """Return the responses `[n,T]` of the usable neurons, in the units of problems."""
        chosen = trial.responses[self.neurons]
        return chosen if self.scale is None else chosen / self.scale[self.neurons]

    def evenly_spaced(self, count: int) -> Iterator[Trial]:
        """Read at most `count` training trials, evenly spaced over the recording."""
        indices = self._indices()
        yield from map(self.recording.trial, indices[:: max(len(indices) // count, 1)][:count])

    def mean_behavior(self) -> Tensor | None:
        """Return the mean behavior `[4]` over training trials, NaN for unknown channels; None if none was recorded."""
        means = [known_mean(trial.behavior, 1) for trial in self.trials() if trial.behavior is not None]
        return known_mean(torch.stack(means), 0) if means else None

    def required_encoders(self, what: str) -> tuple[Encoder, ...]:
        """Return the row's encoders; raises InputError, naming `what` needs one, if there are none."""
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

    def artefact(
        self, name: str, settings: object, learn: Learn, *, code: Sequence[str], uses: Sequence[str] = ("neurons",)
    ) -> Path:
        """Return the path of an artefact; a missing one is computed by `learn`, timed and written.

        The name is a hash of `settings` (their repr), of the recording's training and validation trials, of what the
        artefact `uses` out of "neurons" (with the units of their responses), "encoders", "frames", "seed" and
        "validation", and of the code: of the modules `code` that learn it, the records in `settings`, the recording and
        the encoders that it uses. `learn` is given the path of its checkpoint, from which interrupted training resumes.
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
        inputs += content_named(settings)
        parts = (settings, self.encoders if "encoders" in uses else ())
        modules = {*code, __name__, type(self.recording).__module__, *modules_of(*parts)}
        path = artefact_path(self.artefacts, name, inputs, code=modules)
        if self.asked is not None:
            self.asked.append(path)
        elif not whole(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(path):  # one process trains, others wait for its result
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
    checkpoint.unlink(missing_ok=True)


def _plain(scale: Tensor | None) -> list[float] | None:
    return None if scale is None or bool((scale == 1).all()) else scale.flatten().tolist()
