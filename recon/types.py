"""Records of the engine: recordings, trials, measurements, iterates and reconstructions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from recon.encoders.behavior import stacked_behavior
from recon.errors import InputError


class Caption(NamedTuple):
    """Description of frames [`first`, `end`) of a movie, in one or several phrasings."""

    first: int
    end: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One presentation of a movie, cut to its valid frames.

    `movie` `[C,T,H,W]` in [0,1]; `responses` `[N,T]`; `behavior` `[4,T]` (pupil dilation, running speed, pupil x,
    pupil y; NaN where it was not recorded) or None; `video_id` identifies the content and is shared by repeats; `rates`
    `[N,T]`, the noise-free responses, exist in simulations only; `caption` describes the movie.
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
    """One session of one animal, read lazily; `tiers[i]` and `video_ids[i]` describe trial i (tier "none": no file)."""

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

    @property
    def all_unit_ids(self) -> tuple[int, ...]:
        """Unit ids of all neurons in the files, those included that are masked for missing responses."""
        return self.unit_ids

    @abstractmethod
    def trial(self, index: int) -> Trial:
        """Read one trial from disk."""

    def length(self, index: int) -> int:
        """Return the number of valid frames of a trial."""
        return int(self.trial(index).movie.shape[1])

    def part(self, index: int, first: int, end: int) -> Trial:
        """Return frames [first, end) of a trial; subclasses may read only these frames from disk."""
        return self.trial(index).cut(first, end)

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a short hash of the files on disk; runs are keyed by it."""

    @abstractmethod
    def learning_fingerprint(self) -> str:
        """Return a short hash of the training and validation trials; learnt artefacts are keyed by it.

        Recordings that differ only in their test trials share learnt artefacts.
        """

    def spoken(self, index: int) -> tuple[Caption, ...]:
        """Return the captions of a trial in temporal order; empty if the recording has none."""
        return ()

    def trials(self, tier: str) -> tuple[int, ...]:
        """Return the indices of the trials of a tier, in ascending order."""
        return tuple(i for i, name in enumerate(self.tiers) if name == tier)


@dataclass(frozen=True)
class AcquisitionTimes:
    """Sampling times of the microscope: `rate` in Hz, `phase` in seconds per plane, `plane` per neuron.

    Sample k of plane p integrates over the `1/rate` seconds ending at `phase[p] + k/rate`. Response files hold these
    samples, interpolated linearly to the frame times t/frame_rate.
    """

    rate: float
    phase: tuple[float, ...]
    plane: tuple[int, ...]


@dataclass(frozen=True)
class Acquisition:
    """Observation operator: frames → acquisition bins, plane by plane.

    `rates_operator` and `responses_operator` are `[P,K,T]` (plane, bin, frame); `plane` `[N]` is each neuron's plane.
    Rates are averaged within each bin; responses, interpolated to frames on disk, are reduced to one value per bin.
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
        """Return the bin mask `[B,N,K]` of a frame mask `[B,T]`: True where every frame of the bin is True."""
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
    """Activity and behavior recorded during a batch of movies, without the movies.

    `responses` `[B,N,T]` (finite; zero where masked); `behavior` `[B,4,T]` (NaN where unknown) or None; `neurons` `[N]`
    marks the *fit* neurons, `selection` `[N]` the *selection* neurons (report neurons are in neither, their responses
    are zero); `frames` `[B,T]` marks the frames that enter the fit.
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
        """Return the measurement of the samples `index` of the batch (a subset or another order)."""
        behavior = None if self.behavior is None else self.behavior[index]
        return replace(self, responses=self.responses[index], behavior=behavior, frames=self.frames[index])


class Fidelity(Protocol):
    """Misfit between rates and responses, both `[B,N,K]`, over the entries in `mask` `[B,N,K]` → energy `[B]`."""

    def __call__(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor: ...


class Uncertainty(NamedTuple):
    """Standard deviation over posterior draws per pixel `[B,C,T,H,W]`, and the effective number of draws."""

    deviation: Tensor
    draws: float


@dataclass(frozen=True)
class Iterate:
    """One step of a method: detached movie `[B,C,T,H,W]` in [0,1], named terms `[B]`, and the state to resume from.

    Energies among the terms are those of this movie before it is clipped to [0,1]; `gradient_norm` and step sizes
    describe the step. Samplers add an `uncertainty`.
    """

    movie: Tensor
    terms: Mapping[str, Tensor]
    state: Mapping[str, Tensor] = field(default_factory=dict)
    uncertainty: Uncertainty | None = None


State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Reconstruction:
    """The result of a run: last movie `[B,C,T,H,W]`, its terms, its cost, and how it ended.

    `evaluations` counts encoder passes over the whole clip (windows count by their frames), `denoiser_evaluations`
    those of a denoiser (text guidance takes two), `iterations` the iterates. `status` is "finished", "budget" or
    "diverged", or "failed" for a task that was given up; `message` has the reason and a remedy. `statuses` and
    `messages` are those of each sample; the status of a batch is "diverged" only if all its samples diverged.
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
    statuses: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()

    def ending(self, sample: int) -> tuple[str, str]:
        """Return status and message of one sample, or of the run if samples have none of their own."""
        return (self.statuses[sample], self.messages[sample]) if self.statuses else (self.status, self.message)


class Trace(Protocol):
    """Observer of a run, called once per iterate."""

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None: ...


def stack(trials: Sequence[Trial]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return movies `[B,C,T,H,W]`, responses `[B,N,T]` and behavior `[B,4,T]` of trials of equal length.

    Behavior is NaN for trials without, and None if no trial has any.
    """
    lengths = sorted({trial.movie.shape[1] for trial in trials})
    if len(lengths) != 1:
        raise InputError(f"trials of one batch: expected equal numbers of frames, got {lengths}; batch by length")
    behavior = stacked_behavior([trial.behavior for trial in trials])
    return torch.stack([t.movie for t in trials]), torch.stack([t.responses for t in trials]), behavior
