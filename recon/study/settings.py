"""What a benchmark's YAML file may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon.data.measurement import Bins
from recon.encoders.runtime.precision import Precision
from recon.errors import InputError
from recon.metrics.pooling import Pooling
from recon.problem.clips import Clips
from recon.problem.conditions import Condition, Words

Named = Mapping[str, Any]


def pooled_column(name: str) -> str:
    """Return the column of the pooling that the configuration calls `name`.

    >>> pooled_column("9x9")
    'frame_correlation_9x9'
    """
    return f"frame_correlation_{name}"


MATCHED = ("ssim", "psnr")
"""Scores that luminance and contrast decide: with `matched` they are also taken after both were matched."""
FITTED = ("response_correlation", "response_correlation_true")


def oracle_column(name: str) -> str:
    """Return the column of a score after luminance and contrast were matched to the true movie's."""
    return f"{name}_matched_oracle"


def masked_column(name: str) -> str:
    """Return the column of a response score with grey outside the mask."""
    return f"{name}_masked"


@dataclass(frozen=True)
class Frames:
    """Frames at the start and at the end of a clip that are not scored."""

    warmup: int = 50
    tail: int = 8

    def __post_init__(self) -> None:
        if min(self.warmup, self.tail) < 0:
            raise InputError(f"frames: expected 0 or more, got {self.warmup} and {self.tail}; correct these values")


@dataclass(frozen=True)
class Neurons:
    """Fractions of the neurons that only choose (*selection*) and that only score (*report*)."""

    selection: float = 0.05
    report: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.selection, self.report) < 0 or self.selection + self.report >= 1:
            raise InputError(
                f"neurons: expected fractions that sum to less than 1, got {self.selection}, {self.report}; lower them"
            )


@dataclass(frozen=True)
class Mask:
    """A transparency mask, a .npy file: pixels move where it is at least `update`, and count from `evaluate` on."""

    file: Path
    update: float = 0.5
    evaluate: float = 1.0


@dataclass(frozen=True)
class PopulationSettings:
    """The share of the *fit* neurons that a row is given, nested by `seed`; the others are left out of everything.

    With `silent` they stay in the misfit with responses of zero, as in the published ablation, whose removed neurons
    were fitted as neurons that say nothing: a defect, here for comparison.
    """

    share: float = 1.0
    seed: int = 0
    silent: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"population.share: expected above 0 and at most 1, got {self.share:g}; correct it")


@dataclass(frozen=True)
class OtherAnimal:
    """Another animal that saw the same clips: its recording, simulated where it says how, and its encoder."""

    recording: Path
    encoder: Named
    simulate: Named | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table: a method, the encoders and the fidelity of its problem, and what it is given.

    Conditions: "recorded"; "wrong_clip", another clip's whole measurement; "predicted", the encoder's noise-free
    rates of the true movie; "noise_free", a simulation's own rates; "repeat_average"; "repeats_joint", one observation
    per repeat. `bins` is a number of frames or "acquisition"; `population` leaves neurons out. With `seeds` a row whose
    method draws random numbers is learnt and run once with each; without, with that of the benchmark. What the method
    learns, it learns from the first `data` (a share) of the training trials; encoders and fidelities know all of them.
    `words` are what methods that take text are told of a clip: nothing, its captions (*oracle*), or another clip's.
    `animals` saw the same clips, and their activity is fitted with it by what has an encoder; decoders do not read it.
    """

    label: str
    method: Named
    encoders: tuple[str, ...] = ()
    fidelity: Named = field(default_factory=lambda: {"name": "poisson"})
    condition: Condition = "recorded"
    bins: Bins = 1
    population: PopulationSettings = field(default_factory=PopulationSettings)
    data: float = 1.0
    seeds: tuple[int, ...] = ()
    animals: tuple[str, ...] = ()
    words: Words = "none"

    def __post_init__(self) -> None:
        if not 0 < self.data <= 1:
            raise InputError(f"data: expected above 0 and at most 1, got {self.data:g}; correct it")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds: expected each seed once, got {self.seeds}; leave out the repeats")


@dataclass(frozen=True)
class Share:
    """What a task has for itself on a cluster: CPUs, GPUs (a fraction where several share one), bytes of memory.

    With memory 0 it is not asked for.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus <= 0 or self.gpus < 0 or self.memory < 0:
            raise InputError(
                f"cluster: expected cpus above 0, gpus and memory of at least 0, got {self.cpus:g}, {self.gpus:g} and "
                f"{self.memory:g}; correct them"
            )


@dataclass(frozen=True)
class Settings:
    """A benchmark: a recording, its clips, the encoders by name, an independent judge, and the rows of the table.

    Where `simulate` is given, the recording is simulated if its folder is absent. `batch` clips are optimised
    together, encoders see `window` frames at once (0: all) and compute in `precision`, translated by torch where
    `compile` says so. Rows may add the activity of other `animals` that saw the same clips. `region` (first row, end
    row, first column, end column) bounds what is scored, a transparency `mask` what is scored and what is optimised.
    `poolings` adds the columns `frame_correlation_<name>`, at coarser grains; `matched` scores with the true movie's
    luminance and contrast (*oracle*); `information` adds a map of where the population constrains the movie to the
    page. On a `cluster` each task asks for its share. The movie is on `device`; copies of the encoders on several
    `devices` take windows and members of an ensemble in turn.
    """

    run: Path
    recording: Path
    encoders: Mapping[str, Named]
    rows: tuple[Row, ...]
    judge: Named | None = None
    simulate: Named | None = None
    animals: Mapping[str, OtherAnimal] = field(default_factory=dict)
    clips: Clips = field(default_factory=Clips)
    frames: Frames = field(default_factory=Frames)
    neurons: Neurons = field(default_factory=Neurons)
    seed: int = 0
    device: str = "auto"
    devices: tuple[str, ...] = ()
    batch: int = 24
    window: int = 0
    precision: Precision = "float32"
    compile: bool = False
    region: tuple[int, int, int, int] | None = None
    mask: Mask | None = None
    poolings: Mapping[str, Pooling] = field(default_factory=dict)
    matched: bool = False
    information: bool = False
    trace_every: int = 5
    artefacts: Path = Path("runs/artefacts")
    cluster: Share = field(default_factory=Share)

    def __post_init__(self) -> None:
        labels = [row.label for row in self.rows]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice or not labels:
            raise InputError(f"rows: expected different labels, got {twice or 'no rows'}; name each row once")
        if not self.encoders:
            raise InputError("encoders: expected at least one, got none; name one, for example seed0")
        for row in self.rows:
            for kind, used, known in (
                ("encoders", row.encoders, self.encoders),
                ("animals", row.animals, self.animals),
            ):
                if unknown := sorted(set(used) - set(known)):
                    raise InputError(
                        f"row {row.label}: expected {kind} of {sorted(known)}, got {unknown}; add or correct them"
                    )

    @property
    def oracle_columns(self) -> tuple[str, ...]:
        """Names of the columns that `matched` adds."""
        return tuple(oracle_column(name) for name in MATCHED) if self.matched else ()

    @property
    def masked_columns(self) -> tuple[str, ...]:
        """Names of the columns that a mask adds."""
        return tuple(masked_column(name) for name in FITTED) if self.mask is not None else ()

    @property
    def pooled_columns(self) -> tuple[str, ...]:
        """Names of the columns that `poolings` adds."""
        return tuple(pooled_column(name) for name in self.poolings)

    def names(self, row: Row) -> tuple[str, ...]:
        """Return the names of a row's encoders: by default the first."""
        return row.encoders or tuple(self.encoders)[:1]
