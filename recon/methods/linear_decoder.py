"""What all linear decoders do with the weights that they learnt: read the movie from lagged responses, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from recon.artefacts import load_artefact
from recon.lagged import Lags, Scaling
from recon.methods.base import mean_responses, only_iterate
from recon.problem import Problem
from recon.types import Iterate, State


class LinearDecoder(Protocol):
    """A record with the lags through which responses are seen and the artefact that holds the weights."""

    @property
    def lags(self) -> Lags: ...

    @property
    def artefact(self) -> Path | None: ...


def decoded_once(
    method: LinearDecoder, problem: Problem, state: State | None, *, name: str, root: bool = False
) -> Iterator[Iterate]:
    """Yield the movie that the method's weights read from the responses, unless that is behind it."""
    if state:
        return
    learnt = load_artefact(method.artefact, method=name)
    movie = decode(mean_responses(problem), learnt, lags=method.lags, root=root, shape=problem.shape)
    yield only_iterate(problem, movie)


def decode(responses: Tensor, learnt: dict[str, Tensor], *, lags: Lags, root: bool, shape: tuple[int, ...]) -> Tensor:
    """Return the movie `[B,C,T,H,W]`, clipped to [0,1], that linear weights read from responses `[B,N,T]`."""
    neurons = learnt["neurons"].bool()
    if responses.shape[1] != len(neurons):
        raise ValueError(f"decoder: expected {len(neurons)} neurons, got {responses.shape[1]}; fit it again")
    scaling = Scaling(learnt["scale_mean"], learnt["scale_std"], root)
    chosen = responses.cpu()[:, neurons]
    frames = [lags.apply(scaling.apply(sample)) @ learnt["weights"] + learnt["mean"] for sample in chosen]
    return torch.stack(frames).clamp(0, 1).reshape(shape).to(responses.device)
