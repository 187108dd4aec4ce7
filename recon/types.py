"""The records that flow through the engine: recordings, trials, measurements, iterates, reconstructions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from recon.errors import InputError


class Caption(NamedTuple):
    """What is seen from frame `first` to before frame `end`, said in one or several ways."""

    first: int
    end: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One presentation of one movie, cut to its valid frames.

    `movie` `[C,T,H,W]` in [0,1]; `responses` `[N,T]`; `behavior` `[4,T]` (pupil dilation, running speed, pupil x,
    pupil y; NaN-free) or none; `video_id` names the content, so that repeats share it; `rates` `[N,T]` are the
    noise-free responses, known only in simulations; `caption` says what is seen.
    """

    index: int
    tier: str
    movie: Tensor
    responses: Tensor
    behavior: Tensor | None = None
    video_id: str = ""
    rates: Tensor | None = None
    caption: str = ""

    def cut(self, first: int, end: int) -> Trial:
        """Return frames [first, end) of the trial."""
        movie, responses = self.movie[:, first:end], self.responses[:, first:end]
        behavior, rates = (known if known is None else known[:, first:end] for known in (self.behavior, self.rates))
        return replace(self, movie=movie, responses=responses, behavior=behavior, rates=rates)


class Recording(ABC):
    """One session of one animal, read lazily; `tiers[i]` and `video_ids[i]` describe trial i ("none": no file)."""

    path: Path
    name: str
    unit_ids: tuple[int, ...]
    coordinates: np.ndarray[Any, Any]
    """Cell positions `[N,3]` in µm."""
    tiers: tuple[str, ...]
    video_ids: tuple[str, ...]
    frame_size: tuple[int, int]
    frame_rate: float
    degrees_per_pixel: float
    acquisition: AcquisitionTimes | None

    @abstractmethod
    def trial(self, index: int) -> Trial:
        """Read one trial from disk."""

    def length(self, index: int) -> int:
        """Return how many valid frames a trial has."""
        return int(self.trial(index).movie.shape[1])

    def part(self, index: int, first: int, end: int) -> Trial:
        """Return frames [first, end) of a trial; a recording on disk need not read the others."""
        return self.trial(index).cut(first, end)

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a short hash of what is on disk; runs are keyed by it."""

    @abstractmethod
    def learning_fingerprint(self) -> str:
        """Return a short hash of what methods learn from, training and validation trials; artefacts are keyed by it.

        Recordings that differ in their test trials alone share what was learnt.
        """

    def spoken(self, index: int) -> tuple[Caption, ...]:
        """Return what is said of a trial, span by span; nothing where nobody wrote any captions."""
        return ()

    def trials(self, tier: str) -> tuple[int, ...]:
        """Return the indices of the trials of a tier, in order."""
        return tuple(i for i, name in enumerate(self.tiers) if name == tier)


@dataclass(frozen=True)
class AcquisitionTimes:
    """When the microscope sampled: `rate` in Hz, and per neuron the plane and per plane the phase in seconds.

    Sample k of plane p integrates over the `1/rate` seconds that end at `phase[p] + k/rate`; the files hold the
    samples interpolated linearly to the frame times (t/frame_rate).
    """

    rate: float
    phase: tuple[float, ...]
    plane: tuple[int, ...]


@dataclass(frozen=True)
class Acquisition:
    """Observation operator: frames → acquisition bins, plane by plane.

    `rates_operator` and `responses_operator` are `[P,K,T]`; `plane` `[N]` holds each neuron's plane. Rates are
    averaged over each bin; responses that were interpolated to frames are brought back to one value per bin.
    """

    rates_operator: Tensor
    responses_operator: Tensor
    plane: Tensor

    def bin_rates(self, rates: Tensor) -> Tensor:
        """Return rates `[B,N,K]` per bin from rates `[B,N,T]` per frame."""
        return self._apply(self.rates_operator, rates)

    def bin_responses(self, responses: Tensor) -> Tensor:
        """Return responses `[B,N,K]` per bin from responses `[B,N,T]` at frames."""
        return self._apply(self.responses_operator, responses)

    def bin_mask(self, frame_mask: Tensor) -> Tensor:
        """Return `[B,N,K]`: bins all of whose frames count, from `frame_mask` `[B,T]`."""
        missing = (~frame_mask).to(self.rates_operator)
        touched = torch.einsum("pkt,bt->bpk", (self.rates_operator != 0).to(missing), missing)
        complete = (self.rates_operator.sum(-1) > 0.999)[None]
        return ((touched == 0) & complete)[:, self.plane]

    def _apply(self, operator: Tensor, values: Tensor) -> Tensor:
        if len(operator) == 1:
            return values @ operator[0].T
        binned = values.new_empty(*values.shape[:2], operator.shape[1])
        for plane, matrix in enumerate(operator):
            members = self.plane == plane
            binned[:, members] = values[:, members] @ matrix.T
        return binned

    def to(self, device: torch.device) -> Acquisition:
        """Return the operator on a device."""
        tensors = (self.rates_operator, self.responses_operator, self.plane)
        return Acquisition(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class Measurement:
    """What was recorded while a batch of movies was shown; the movies themselves are not in here.

    `responses` `[B,N,T]` (finite; zero where masked), `behavior` `[B,4,T]` or none, `neurons` `[N]` true for the
    *fit* neurons, `selection` `[N]` true for the *selection* neurons (report neurons are in neither and their
    responses are zeroed), `frames` `[B,T]` true where responses count in the fit.
    """

    responses: Tensor
    behavior: Tensor | None
    neurons: Tensor
    selection: Tensor
    frames: Tensor
    acquisition: Acquisition | None = None

    def to(self, device: torch.device) -> Measurement:
        """Return the measurement on a device."""
        return Measurement(
            self.responses.to(device),
            None if self.behavior is None else self.behavior.to(device),
            self.neurons.to(device),
            self.selection.to(device),
            self.frames.to(device),
            None if self.acquisition is None else self.acquisition.to(device),
        )

    def sample(self, index: Tensor) -> Measurement:
        """Return the measurement of some samples of the batch (or of the batch in another order)."""
        behavior = None if self.behavior is None else self.behavior[index]
        return replace(self, responses=self.responses[index], behavior=behavior, frames=self.frames[index])


class Fidelity(Protocol):
    """Misfit of rates and responses, both `[B,N,K]`, over the entries where `mask` `[B,N,K]` holds → energy `[B]`."""

    def __call__(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor: ...


class Uncertainty(NamedTuple):
    """Standard deviation over posterior draws per pixel `[B,C,T,H,W]`, and how many independent draws it is from."""

    deviation: Tensor
    draws: float


@dataclass(frozen=True)
class Iterate:
    """What a method yields: detached movie `[B,C,T,H,W]` in [0,1], named terms `[B]`, and the state to go on from.

    A sampler adds how far its draws lie apart.
    """

    movie: Tensor
    terms: Mapping[str, Tensor]
    state: Mapping[str, Tensor] = field(default_factory=dict)
    uncertainty: Uncertainty | None = None


State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Reconstruction:
    """The result of a run: last movie `[B,C,T,H,W]`, its terms, what it cost, and how it ended.

    `evaluations` counts encoder passes over the whole clip (windows count by their frames), `denoiser_evaluations`
    those of a denoiser (guidance by a text asks it twice), `iterations` the iterates; `status` is "converged",
    "finished", "budget" or "diverged", or "failed" where a task was given up, `message` says what to do about it;
    `uncertainty` comes from samplers.
    """

    movie: Tensor
    terms: Mapping[str, Tensor]
    iterations: int
    evaluations: float
    seconds: float
    status: str
    message: str = ""
    uncertainty: Uncertainty | None = None
    denoiser_evaluations: float = 0.0


class Trace(Protocol):
    """Watches a run: the runner calls it once per iterate."""

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None: ...


def stack(trials: Sequence[Trial]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return movies `[B,C,T,H,W]`, responses `[B,N,T]` and behavior `[B,4,T]` of trials of equal length."""
    lengths = sorted({trial.movie.shape[1] for trial in trials})
    if len(lengths) != 1:
        raise InputError(f"trials of one batch: expected equal numbers of frames, got {lengths}; batch by length")
    behaviors = [trial.behavior for trial in trials if trial.behavior is not None]
    if behaviors and len(behaviors) != len(trials):
        raise InputError(f"behavior: expected in all {len(trials)} trials of a batch or in none, got {len(behaviors)}")
    behavior = torch.stack(behaviors) if behaviors else None
    return torch.stack([t.movie for t in trials]), torch.stack([t.responses for t in trials]), behavior
