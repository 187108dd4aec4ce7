"""Settings of a benchmark: the records behind its YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon.data.layout import CALIBRATION
from recon.data.measurement import Bins
from recon.encoders.base import Encoder
from recon.encoders.runtime.precision import Precision
from recon.errors import InputError, listed
from recon.errors.ranges import Count, Fraction, NonNegative, Part, Positive, Region, Seed, Whole
from recon.methods.base import Method
from recon.metrics import METRICS, ranked
from recon.metrics.intervals.settings import CalibrationSettings
from recon.metrics.pooling import Pooling
from recon.problem.activity import Activity
from recon.problem.clips import Clips
from recon.problem.conditions import Condition, Words
from recon.problem.fidelities.base import Likelihood

Named = Mapping[str, Any]
"""Settings from which an object is built: the `name` of a registry's entry, and its arguments."""


def pooled_column(name: str) -> str:
    """Return the column of a pooling named `name` in the configuration.

    >>> pooled_column("9x9")
    'frame_correlation_9x9'
    """
    return f"frame_correlation_{name}"


def oracle_column(name: str) -> str:
    """Return the column of a score with luminance and contrast matched to the true movie (*oracle*)."""
    return f"{name}_matched_oracle"


def masked_column(name: str) -> str:
    """Return the column of a response score with grey outside the mask."""
    return f"{name}_masked"


@dataclass(frozen=True)
class Frames:
    """Unscored frames at the start and at the end of a clip."""

    warmup: Whole = 50
    tail: Whole = 8

    def __post_init__(self) -> None:
        if min(self.warmup, self.tail) < 0:
            raise InputError(f"frames: expected 0 or more, got {self.warmup} and {self.tail}; correct these values")


@dataclass(frozen=True)
class Neurons:
    """Fractions of the neurons in the sets *selection* (stop rules, weights) and *report* (scores only)."""

    selection: Fraction = 0.05
    report: Fraction = 0.05
    seed: Seed = 0

    def __post_init__(self) -> None:
        if not (self.selection >= 0 and self.report >= 0 and self.selection + self.report < 1):
            raise InputError(
                f"neurons: expected fractions that sum to less than 1, got {self.selection}, {self.report}; lower them"
            )


@dataclass(frozen=True)
class Mask:
    """A transparency mask (.npy): pixels are optimised where it is ≥ `update`, scored where it is ≥ `evaluate`."""

    file: Path
    update: float = 0.5
    evaluate: float = 1.0


@dataclass(frozen=True)
class Perceptual:
    """Perceptual scores that a run asks for, of every `every`-th scored frame: networks take time.

    Weights that are absent are downloaded by torchvision's own code, or the run is refused before it starts.
    """

    scores: tuple[str, ...] = ()
    every: Count = 1

    def __post_init__(self) -> None:
        known = [metric.name for metric in ranked() if metric.network is not None]
        if unknown := sorted(set(self.scores) - set(known)):
            raise InputError(f"scores: expected names out of {', '.join(known)}, got {unknown}; correct them")

    def prepare(self) -> None:
        """Raise InputError where the weights of a network are neither on this machine nor to be had."""
        for network in filter(None, (METRICS[name].network for name in self.scores)):
            network.fetched()


@dataclass(frozen=True)
class PopulationSettings:
    """The part of the *fit* neurons that a row uses, nested by `seed`; the other neurons are left out.

    The part is a `share`, or exactly `count` neurons (0: by share). `coverage`: only neurons with receptive-field
    centres in the central rectangle that has this share of the screen's area. `silent`: left-out neurons stay in the
    misfit with responses of zero, as in the published ablation; a defect, kept for comparison.
    """

    share: Part = 1.0
    seed: Seed = 0
    silent: bool = False
    count: Whole = 0
    coverage: Part = 1.0

    def __post_init__(self) -> None:
        for name in ("share", "coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(
                    f"population.{name}: expected above 0 and at most 1, got {getattr(self, name):g}; correct it"
                )
        if self.count and self.share < 1:
            raise InputError(
                f"population: expected count or share, got {self.count} neurons and a share of {self.share:g}; drop one"
            )


@dataclass(frozen=True)
class OtherAnimal:
    """Another animal that saw the same clips: its recording, simulated if absent, and its encoder."""

    recording: Path
    encoder: Named | Encoder
    simulate: Named | None = None


@dataclass(frozen=True)
class Row:
    """One row of the table: a method, the encoders, fidelity and measurement of its problem.

    `condition`: "recorded"; "wrong_clip", another clip's whole measurement (null); "predicted", the encoder's
    noise-free rates for the true movie (*oracle*); "noise_free", the rates of a simulation (*oracle*);
    "repeat_average"; "repeats_joint", one observation per repeat. `bins`: a number of frames, or "acquisition".
    `population`: left-out neurons. `seeds`: the method is learnt and run once with each; default, the seed of the
    benchmark. `data`: share of the training trials, from the first, that the method learns from; encoders and
    fidelities use all of them. `words`: text for methods that take it: none, the clip's captions (*oracle*), or those
    of another clip. `animals`: other animals that saw the same clips; methods with an encoder fit their activity too,
    decoders ignore it. `activity`: weaker or empty responses to the clips, in place of the recorded ones.
    """

    label: str
    method: Named | Method
    encoders: tuple[str, ...] = ()
    fidelity: Named | Likelihood = field(default_factory=lambda: {"name": "poisson"})
    condition: Condition = "recorded"
    bins: Bins = 1
    population: PopulationSettings = field(default_factory=PopulationSettings)
    data: Part = 1.0
    seeds: tuple[Seed, ...] = ()
    animals: tuple[str, ...] = ()
    words: Words = "none"
    activity: Activity = field(default_factory=Activity)

    def __post_init__(self) -> None:
        if not 0 < self.data <= 1:
            raise InputError(f"data: expected above 0 and at most 1, got {self.data:g}; correct it")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds: expected each seed once, got {self.seeds}; leave out the repeats")
        if not self.activity.recorded and (self.condition != "recorded" or self.animals):
            raise InputError(
                f"activity: expected condition recorded and no other animals beside {self.activity.name!r}, got "
                f"{self.condition} and {len(self.animals)} animals; drop one"
            )

    @property
    def given(self) -> str:
        """What the method is given: the condition, or the changed activity; the column `condition` of results."""
        return self.activity.name or self.condition


@dataclass(frozen=True)
class Intervals:
    """Clips on which the intervals of every row are calibrated, and how (`calibration`).

    They are `count` clips (0: all) of a tier, or `trials`; each row reconstructs them too. No training, selection or
    stopping may have seen them. Rows on several repeats have no intervals: calibration clips are shown once.
    """

    tier: str = CALIBRATION
    count: Whole = 0
    trials: tuple[Whole, ...] = ()
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)


@dataclass(frozen=True)
class Share:
    """Resources of one task on a cluster: CPUs, GPUs (a fraction if several tasks share one), bytes of memory.

    Memory 0: no memory is requested.
    """

    cpus: Positive = 1.0
    gpus: NonNegative = 0.0
    memory: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.cpus <= 0 or self.gpus < 0 or self.memory < 0:
            raise InputError(
                f"cluster: expected cpus above 0, gpus and memory of at least 0, got {self.cpus:g}, {self.gpus:g} and "
                f"{self.memory:g}; correct them"
            )


@dataclass(frozen=True)
class Settings:
    """A benchmark: a recording, its clips, the encoders by name, an independent judge, and the rows of the table.

    `simulate`: how to simulate the recording if its folder is absent. `batch`: clips optimised together. `window`:
    frames that encoders process at once (0: all); `precision` and `compile`: their arithmetic, and compilation by
    torch. `animals`: others that saw the same clips, for rows that add their activity. `region` (first row, end row,
    first column, end column): scored pixels; `mask`: a transparency mask of scored and optimised pixels. `poolings`:
    adds columns `frame_correlation_<name>` at coarser resolutions. `matched`: adds scores with luminance and contrast
    of the true movie (*oracle*). `perceptual`: adds scores by pretrained networks. `information`: adds a map of the
    Fisher information per pixel to the page. `intervals`: adds calibrated intervals per pixel, their coverage and
    width. `cluster`: resources of each task. `device`: where the movie is optimised;
    `devices`: copies of the encoders, which process windows and ensemble members in turn.
    """

    run: Path
    recording: Path
    encoders: Mapping[str, Named | Encoder]
    rows: tuple[Row, ...]
    judge: Named | Encoder | None = None
    simulate: Named | None = None
    animals: Mapping[str, OtherAnimal] = field(default_factory=dict)
    clips: Clips = field(default_factory=Clips)
    frames: Frames = field(default_factory=Frames)
    neurons: Neurons = field(default_factory=Neurons)
    seed: Seed = 0
    device: str = "auto"
    devices: tuple[str, ...] = ()
    batch: Count = 24
    window: Whole = 0
    precision: Precision = "float32"
    compile: bool = False
    region: Region | None = None
    mask: Mask | None = None
    poolings: Mapping[str, Pooling] = field(default_factory=dict)
    matched: bool = False
    perceptual: Perceptual = field(default_factory=Perceptual)
    information: bool = False
    trace_every: Count = 5
    artefacts: Path = Path("runs/artefacts")
    intervals: Intervals | None = None
    cluster: Share = field(default_factory=Share)

    def __post_init__(self) -> None:
        labels = [row.label for row in self.rows]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice or not labels:
            raise InputError(f"rows: expected different labels, got {twice or 'no rows'}; name each row once")
        if not self.encoders:
            raise InputError("encoders: expected at least one, got none; name one, for example seed0")
        if unknown := [problem for row in self.rows for problem in self._unknown(row)]:
            raise listed(unknown, where="rows")

    def _unknown(self, row: Row) -> Iterator[str]:
        """Yield a sentence about encoders, and about animals, that a row names and the settings lack."""
        for kind, used, known in (("encoders", row.encoders, self.encoders), ("animals", row.animals, self.animals)):
            if unknown := sorted(set(used) - set(known)):
                yield f"row {row.label}: expected {kind} of {sorted(known)}, got {unknown}; add or correct them"

    @property
    def oracle_columns(self) -> tuple[str, ...]:
        """Names of the columns that `matched` adds."""
        return tuple(oracle_column(metric.name) for metric in METRICS.values() if metric.matched and self.matched)

    @property
    def masked_columns(self) -> tuple[str, ...]:
        """Names of the columns that a mask adds."""
        fitted = [column for metric in ranked("responses") for column in metric.columns]
        return tuple(masked_column(column) for column in fitted) if self.mask is not None else ()

    @property
    def pooled_columns(self) -> tuple[str, ...]:
        """Names of the columns that `poolings` adds."""
        return tuple(pooled_column(name) for name in self.poolings)

    def names(self, row: Row) -> tuple[str, ...]:
        """Return the names of a row's encoders; default, the first."""
        return row.encoders or tuple(self.encoders)[:1]
