"""Weak and empty activity: the same clips with less signal in the responses, or with none.

A row's `activity` replaces the trials of a batch before anything else sees them: method, scores and the test of what
the activity supports all read the same responses. Repeats are dropped: they were recorded with the whole signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from recon.errors import InputError
from recon.errors.ranges import Fraction, Part, Seed
from recon.problem.clips import Batch

CHANGING = "recon.problem.weak_activity"
"""The module that changes activity; results of recorded activity do not depend on it, nor on the simulation."""


@dataclass(frozen=True)
class Activity:
    """The activity that a row is given; by default as recorded.

    `contrast`: the clip is shown at this contrast about the adapting grey, 0 being a grey screen. The responses of a
    simulated recording are simulated anew, with the trial's behavior; the movie that is scored is the one shown, so
    that correlations with a grey screen are undefined. `spikes`: the fraction of spikes that is seen, each scaled by
    1 / fraction: the mean response stays, its variance grows. Simulated anew; of recorded spike counts, each spike is
    kept with this probability. `spontaneous`: a grey screen, and gains with the low-rank covariance and the time course
    that repeats of the recording's validation clips have about their mean, on top of the trial's behavior.
    `shifted`: responses and behavior moved in time, circularly, by a random lag of between a quarter and three quarters
    of the clip. `permuted`: the responses of neurons exchanged by a random permutation of all neurons, in units of each
    neuron's standard deviation. Draws depend on `seed` and the trial's number only.
    """

    contrast: Fraction = 1.0
    spikes: Part = 1.0
    spontaneous: bool = False
    shifted: bool = False
    permuted: bool = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        if not 0 <= self.contrast <= 1 or not 0 < self.spikes <= 1:
            raise InputError(
                f"activity: expected contrast in 0–1 and spikes above 0 and at most 1, got {self.contrast:g} and "
                f"{self.spikes:g}; correct them"
            )
        if self.spontaneous and self.contrast < 1:
            raise InputError(
                f"activity: expected spontaneous or a contrast, got both, contrast {self.contrast:g}; drop one"
            )

    @property
    def recorded(self) -> bool:
        """True if nothing is changed."""
        return self == Activity(seed=self.seed)

    @property
    def name(self) -> str:
        """The column `condition` of results; empty for recorded activity.

        >>> Activity(contrast=0.2, spikes=0.1).name, Activity(contrast=0.0).name, Activity().name
        ('contrast 0.2, 10 % of spikes', 'grey screen', '')
        """
        parts = {
            f"contrast {self.contrast:g}": 0 < self.contrast < 1,
            "grey screen": self.contrast == 0,
            "spontaneous": self.spontaneous,
            f"{100 * self.spikes:g} % of spikes": self.spikes < 1,
            "time-shifted": self.shifted,
            "neuron-permuted": self.permuted,
        }
        return ", ".join(part for part, chosen in parts.items() if chosen)


def with_activity(batch: Batch, activity: Activity) -> Batch:
    """Return a batch whose trials have this activity, and no repeats; the batch itself for recorded activity."""
    if activity.recorded:
        return batch
    changed: Batch = import_module(CHANGING).changed_batch(batch, activity)
    return changed
