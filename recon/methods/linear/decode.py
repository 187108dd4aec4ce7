"""Decoding step of all linear decoders: movie = lagged responses × weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch

from recon.methods.artefacts import load_artefact
from recon.methods.base import only_iterate, responses_of
from recon.methods.linear.lags import Lags, Scaling
from recon.problem.problem import Problem
from recon.types import Iterate, State


class LinearDecoder(Protocol):
    """A linear decoder: the lags of its responses and the artefact with its weights."""

    @property
    def lags(self) -> Lags: ...

    @property
    def artefact(self) -> Path | None: ...


def decoded_once(
    method: LinearDecoder, problem: Problem, state: State | None, *, name: str, root: bool = False
) -> Iterator[Iterate]:
    """Yield the decoded movie as the only iterate; nothing when restarted from a state."""
    if state:
        return
    learnt = load_artefact(method.artefact, method=name)
    scaling = Scaling(learnt["scale_mean"], learnt["scale_std"], root)
    responses = responses_of(problem, learnt["neurons"]).cpu()
    frames = [method.lags.apply(scaling.apply(sample)) @ learnt["weights"] + learnt["mean"] for sample in responses]
    movie = torch.stack(frames).clamp(0, 1).reshape(problem.shape)
    yield only_iterate(problem, movie.to(problem.device))
