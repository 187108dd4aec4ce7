"""Settings of a simulated recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, Part, Positive, Seed, Whole
from recon.simulate.movies import DEGREES_PER_PIXEL

ACQUISITIONS = ("frame", "8hz")


@dataclass(frozen=True)
class SimulationSettings:
    """Settings of a simulated recording; equal settings give equal recordings.

    Training: `minutes` of movie in trials of `train_frames`. Validation and test clips of `clip_frames` are repeated
    `repeats` times. `acquisition` is "frame" or "8hz". With `eye_movements`, gaze shifts receptive fields. `coverage`
    is the fraction of the screen's area that contains receptive-field centres: a rectangle in each of `patches`
    columns, one per imaging field. `semantic` and `mixed` are the fractions of neurons driven by scene attributes,
    alone or multiplied with the visual drive. `seed` determines the population, behavior and noise; movies depend on
    the committed split of sources only. Neurons are prefix-stable: the first 256 of 1000 equal a population of 256.
    `films` is a folder of films that provide the test clips; `stimuli` ("gratings" or "noise") replaces the test clips
    by 49 stimuli over spatial and temporal scales. `calibration_clips` of `clip_frames` are shown once each, for the
    calibration of intervals: generated scenes from seeds of their own, as the test clips after the photographs.
    """

    neurons: Count = 1000
    minutes: Positive = 20.0
    validation_clips: Whole = 24
    test_clips: Whole = 24
    repeats: Count = 10
    train_frames: Count = 300
    clip_frames: Count = 180
    frame_size: tuple[Count, Count] = (36, 64)
    degrees_per_pixel: Positive = DEGREES_PER_PIXEL
    acquisition: str = "frame"
    eye_movements: bool = False
    coverage: Part = 1.0
    patches: Count = 1
    semantic: Fraction = 0.0
    mixed: Fraction = 0.0
    seed: Seed = 0
    films: Path | None = None
    stimuli: str = ""
    calibration_clips: Whole = 0

    def __post_init__(self) -> None:
        if self.acquisition not in ACQUISITIONS:
            raise InputError(f'acquisition: expected "frame" or "8hz", got {self.acquisition!r}; choose one')
        if self.stimuli not in ("", "gratings", "noise") or (self.stimuli and self.films is not None):
            raise InputError(f"stimuli: expected gratings or noise and no films, got {self.stimuli!r}; choose one")
        for name in ("coverage", "semantic", "mixed"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}: expected a share in 0–1, got {getattr(self, name)}; give a fraction")
        if self.semantic + self.mixed > 1 or self.coverage == 0:
            raise InputError("semantic + mixed: expected at most 1, and coverage above 0; lower the shares")
        clips = (self.validation_clips + 1, self.test_clips + 1)
        counts = (self.neurons, self.patches, self.repeats, self.train_trials, *clips)
        if min(counts) < 1 or min(self.train_frames, self.clip_frames) < 2:
            raise InputError(f"sizes: expected positive counts, minutes and frames, got {self}; raise them")
        if max(self.train_frames, self.clip_frames) > 300:
            raise InputError("frames: expected at most 300 per trial (the layout's limit), got more; use more trials")

    @property
    def train_trials(self) -> int:
        """Number of training trials."""
        return round(self.minutes * 1800 / self.train_frames)


TINY = SimulationSettings(
    neurons=24,
    minutes=0.5,
    validation_clips=2,
    test_clips=3,
    repeats=4,
    train_frames=150,
    clip_frames=90,
    frame_size=(16, 24),
    degrees_per_pixel=4.0,
)
"""A minimal recording for tests and first trials; takes seconds."""
