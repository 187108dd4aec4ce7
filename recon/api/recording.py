"""Recordings as Python objects: opened from disk, and their clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from recon.data.layout import ABSENT, CALIBRATION, TEST, TRAIN, VALIDATION
from recon.data.open import open_recording as open_reader
from recon.data.sensorium import SensoriumRecording
from recon.encoders.summary import as_html, as_text, screen
from recon.problem.clips import Batch, Clip, Clips, batches, choose_clips
from recon.types import Trial

TIERS = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "calibration": CALIBRATION}
"""Short names of the field's tiers."""


@dataclass(frozen=True, repr=False)
class OpenRecording:
    """One session of one animal, read lazily. `reader` reads its trials from disk.

    >>> import recon
    >>> mouse = recon.example()
    >>> mouse  # doctest: +ELLIPSIS
    Recording example, simulated
      neurons  200
      trials   15 train, 9 oracle (validation), 12 live_test_main (test)
      movie    36 × 64 pixels, 70° × 124° (1.94° per pixel), 30 Hz
      folder   ...
    """

    reader: SensoriumRecording

    @property
    def name(self) -> str:
        """Name of the animal or session."""
        return self.reader.name

    @property
    def path(self) -> Path:
        """Folder of the recording."""
        return self.reader.path

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return len(self.reader.unit_ids)

    @property
    def trials(self) -> dict[str, int]:
        """Number of trials by tier."""
        return dict(Counter(tier for tier in self.reader.tiers if tier != ABSENT))

    def trial(self, index: int) -> Trial:
        """Return a trial: movie `[C,T,H,W]` in [0,1], responses `[N,T]`, behavior `[4,T]` or None, caption."""
        return self.reader.trial(index)

    def clips(
        self,
        tier: str = "test",
        count: int = 2,
        *,
        skip: int = 0,
        trials: Sequence[int] = (),
        stimulus: str = "",
    ) -> ClipSet:
        """Return clips to reconstruct: the first presentations of `count` different videos of a tier.

        `tier` is "test", "validation", "train" or "calibration", or the field's own name, such as "final_test_main".
        `trials` names trials instead. `stimulus` restricts the tier to one kind of stimulus, where the recording states
        kinds.

        >>> import recon
        >>> recon.example().clips("test", count=2).trials
        (24, 27)
        """
        chosen = Clips(TIERS.get(tier, tier), count, skip, trials=tuple(trials), stimulus=stimulus)
        found = ClipSet(self, chosen)
        len(found)  # reads the clips, so that a wrong tier is refused here
        return found

    @property
    def _facts(self) -> dict[str, object]:
        short = {name: f"{name} ({alias})" for alias, name in TIERS.items() if alias != name}
        reader = self.reader
        return {
            "neurons": f"{self.neurons}{self._masked}",
            "trials": ", ".join(f"{count} {short.get(tier, tier)}" for tier, count in self.trials.items()),
            "movie": screen(reader.frame_size, reader.degrees_per_pixel, reader.frame_rate),
            "folder": self.path,
        }

    @property
    def _masked(self) -> str:
        count = len(self.reader.all_unit_ids) - self.neurons
        return f", and {count} masked for missing responses" if count else ""

    def __repr__(self) -> str:
        return as_text(f"Recording {self.name}, {self.reader.activity}", self._facts)

    def _repr_html_(self) -> str:
        return as_html(f"Recording {self.name}, {self.reader.activity}", self._facts)


@dataclass(frozen=True, repr=False)
class ClipSet:
    """Clips of a recording, chosen to be reconstructed."""

    recording: OpenRecording
    choice: Clips

    @cached_property
    def chosen(self) -> tuple[Clip, ...]:
        """The clips with their trials, read from disk."""
        return choose_clips(self.recording.reader, self.choice)

    @property
    def trials(self) -> tuple[int, ...]:
        """Numbers of the trials."""
        return tuple(clip.trial.index for clip in self.chosen)

    @property
    def captions(self) -> tuple[str, ...]:
        """Captions of the clips; "" for a clip without one."""
        return tuple(clip.trial.caption for clip in self.chosen)

    @property
    def movies(self) -> tuple[Tensor, ...]:
        """The movies that were shown, each `[C,T,H,W]` in [0,1]; no method sees them."""
        return tuple(clip.trial.movie for clip in self.chosen)

    def batches(self, size: int) -> list[Batch]:
        """Return the clips in batches of at most `size` clips of equal length."""
        return batches(self.recording.reader, self.chosen, size=size)

    def __len__(self) -> int:
        return len(self.chosen)

    def __reduce__(self) -> tuple[Any, ...]:
        return ClipSet, (self.recording, self.choice)

    @property
    def _facts(self) -> dict[str, object]:
        rate = self.recording.reader.frame_rate
        return {
            f"trial {clip.trial.index}": f"{clip.trial.movie.shape[1] / rate:.1f} s, shown {1 + len(clip.repeats)} ×"
            + (f": {clip.trial.caption}" if clip.trial.caption else "")
            for clip in self.chosen
        }

    def __repr__(self) -> str:
        return as_text(f"{len(self)} clips of {self.recording.name}", self._facts)

    def _repr_html_(self) -> str:
        return as_html(f"{len(self)} clips of {self.recording.name}", self._facts)


def open_recording(path: Path | str) -> OpenRecording:
    """Open a recording: a folder of Sensorium 2023, a .zip of one, or a file of another known format.

    Other formats are converted once, to `NAME.recording` beside them.

    >>> import recon
    >>> recon.open_recording(recon.example().path).name
    'example'
    """
    return OpenRecording(open_reader(path))
