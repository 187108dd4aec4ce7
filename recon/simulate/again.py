"""Clips shown again to a simulated population: other movies, fewer spikes, other gains, with the same behavior."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.errors import InputError
from recon.simulate.acquisition import acquire, acquisition_times
from recon.simulate.activity import expected_responses, sample_responses, spike_rates
from recon.simulate.behavior import gaze_degrees
from recon.simulate.population import GREY, SimulatedPopulation
from recon.simulate.settings import SimulationSettings
from recon.simulate.threads import one_thread

GREY_LEVEL = GREY / 255
"""The grey screen, in [0,1]: the level to which the population is adapted."""


def settings_of(made_by: Mapping[str, Any], path: Path) -> SimulationSettings:
    """Return the settings of a simulated recording; raises InputError for one whose cells cannot be shown a movie."""
    known = made_by.get("settings")
    if not isinstance(known, Mapping) or "neurons" not in known or "encoder" in known:
        raise InputError(
            f"activity: expected a recording of `recon simulate`, got {path}, whose neurons cannot be shown another "
            "movie; take spikes, shifted or permuted"
        )
    films = known.get("films")
    typed = {"frame_size": tuple(known["frame_size"]), "films": None if films is None else Path(films)}
    settings = SimulationSettings(**{**known, **typed})
    if settings.semantic or settings.mixed:
        raise InputError(
            f"activity: expected neurons driven by pixels alone, got a share of {settings.semantic + settings.mixed:g} "
            f"driven by meaning in {path}, which has no contrast; simulate with semantic=0 mixed=0"
        )
    return settings


@one_thread()
@torch.no_grad()
def show_again(
    settings: SimulationSettings,
    movies: Tensor,
    behavior: Tensor,
    generator: torch.Generator,
    *,
    kept: float = 1.0,
    gain: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return new responses and expected responses, both `[B,N,T]`, to movies `[B,1,T,H,W]` with `behavior` `[B,4,T]`.

    Of the spikes a fraction `kept` is seen (see `sample_responses`). `gain` `[B,N,T]` replaces the shared gain.
    """
    population = _population(settings)
    cells = population.cells
    gaze = np.stack([gaze_degrees(one) for one in behavior.double().numpy()]) if settings.eye_movements else None
    drive = population.drive(movies, gaze=None if gaze is None else torch.from_numpy(gaze).float())
    rates = spike_rates(cells, drive, behavior)
    found = (sample_responses(cells, rates, generator, kept=kept, gain=gain), expected_responses(cells, rates))
    if settings.acquisition != "8hz":
        return found
    times = acquisition_times(cells)
    return acquire(found[0], times), acquire(found[1], times)


@functools.lru_cache(maxsize=1)
def _population(settings: SimulationSettings) -> SimulatedPopulation:
    return SimulatedPopulation(settings)
