"""Partition of neurons into *fit* (objective), *selection* (stop rules, weights) and *report* (scores only)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from recon.errors import InputError


def neuron_sets(
    unit_ids: Sequence[int], *, selection: float = 0.05, report: float = 0.05, seed: int = 0
) -> dict[str, Tensor]:
    """Return the masks `[N]` "fit", "selection" and "report": a partition drawn by a hash of unit id and seed.

    Membership depends on unit id and seed alone, so it is the same in every subset and every order of the neurons. The
    fractions hold on average. An empty selection or report set takes the remaining neuron with the smallest draw.

    >>> {name: int(mask.sum()) for name, mask in neuron_sets(range(1000)).items()}
    {'fit': 904, 'selection': 40, 'report': 56}
    """
    if selection < 0 or report < 0 or selection + report >= 1:
        raise InputError(f"fractions: expected ≥ 0 with a sum below 1, got selection {selection}, report {report}")
    draws = torch.tensor([_draw(unit, seed) for unit in unit_ids], dtype=torch.float64)
    least = 1 + (selection > 0) + (report > 0)
    if len(draws) < least:
        raise InputError(
            f"neurons: expected at least {least} for as many sets, got {len(draws)}; set neurons.selection and "
            "neurons.report to 0"
        )
    held_out, chosen = draws < report, (draws >= report) & (draws < report + selection)
    if report > 0 and not held_out.any():
        held_out[draws.argmin()] = True
    if selection > 0 and not (chosen & ~held_out).any():
        chosen[draws.masked_fill(held_out, 2.0).argmin()] = True
    chosen &= ~held_out
    return {"fit": ~(held_out | chosen), "selection": chosen, "report": held_out}


def left_out_neurons(
    sets: Mapping[str, Tensor],
    unit_ids: Sequence[int],
    *,
    share: float = 1.0,
    count: int = 0,
    seed: int = 0,
    candidates: Tensor | None = None,
) -> Tensor:
    """Return the mask `[N]` of the *fit* neurons left out of a smaller population.

    Kept are `count` of the *fit* neurons, or a fraction `share` on average where `count` is 0; with `candidates` `[N]`,
    of those alone. The draw depends on unit id and seed alone, so populations are nested: a smaller one is a subset of
    a larger one.

    >>> sets = neuron_sets(range(1000))
    >>> half, quarter = (left_out_neurons(sets, range(1000), share=share) for share in (0.5, 0.25))
    >>> int((sets["fit"] & ~half).sum()), int((sets["fit"] & ~quarter).sum()), bool((half <= quarter).all())
    (475, 224, True)
    >>> few = left_out_neurons(sets, range(1000), count=64)
    >>> int((sets["fit"] & ~few).sum()), bool((quarter <= few).all())
    (64, True)
    """
    draws = torch.tensor([_draw(unit, f"population {seed}") for unit in unit_ids], dtype=torch.float64)
    eligible = sets["fit"] if candidates is None else sets["fit"] & candidates
    if not bool(eligible.any()):
        raise InputError(f"population: expected neurons to fit, got none of {len(unit_ids)}; raise its coverage")
    if count > int(eligible.sum()):
        raise InputError(
            f"population.count: expected at most the {int(eligible.sum())} neurons to fit, got {count}; lower it, or "
            "the fractions of neurons.selection and neurons.report"
        )
    kept = eligible & (draws <= draws[eligible].sort().values[count - 1] if count else draws < share)
    if not bool(kept.any()):
        raise InputError(f"population: expected neurons to fit, got none of {len(unit_ids)}; raise the share {share:g}")
    return sets["fit"] & ~kept


def _draw(unit: int, seed: int | str) -> float:
    digest = hashlib.sha256(f"{seed}:{int(unit)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
