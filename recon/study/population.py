"""The neurons of a row: a part of the *fit* neurons, by number, by share, or by where on the screen they look."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.data.neuron_sets import left_out_neurons
from recon.encoders.field_centres import field_centres
from recon.study.settings import Row
from recon.study.shared import Bench


def left_out(bench: Bench, row: Row) -> Tensor:
    """Return the mask `[N]` of the *fit* neurons that a row's population lacks; raises InputError if none remain."""
    return left_out_neurons(
        bench.sets,
        bench.recording.unit_ids,
        share=row.population.share,
        count=row.population.count,
        seed=row.population.seed,
        candidates=covering(bench, row),
    )


def covering(bench: Bench, row: Row) -> Tensor | None:
    """Return the mask `[N]` of the neurons that look at the covered part of the screen; None where all of it is.

    The part is a rectangle in the centre, of the frame's aspect ratio. Receptive-field centres are means over encoders.
    """
    if row.population.coverage == 1:
        return None
    centres = [field_centres(bench.encoder(name)) for name in bench.settings.names(row)]
    return (torch.stack(centres).mean(0).abs() <= math.sqrt(row.population.coverage)).all(1)
