"""Clips: the presentations to reconstruct, in batches of equal length, each with its null."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from recon.correlation import pearson
from recon.data.folds import fold_trials
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.errors.ranges import Count, Whole
from recon.types import Trial, stack

Presentation = tuple[Tensor, Tensor | None]
"""Responses `[B,N,T]` and behavior `[B,4,T]` of one presentation."""


ALIKE = 0.5
"""Correlation of mean frames from which two clips are too alike to be each other's null."""


@dataclass(frozen=True)
class Clips:
    """Choice of clips: the first presentation of `count` videos of a tier, after the first `skip`.

    With `fold`, `count` trials of a fold of DwiseNeuro's authors, held out from its encoder's training; with `trials`,
    the trials of these numbers. `stimulus` restricts a tier to one kind of stimulus, where the recording states kinds.
    """

    tier: str = "live_test_main"
    count: Count = 8
    skip: Whole = 0
    fold: Whole | None = None
    trials: tuple[Whole, ...] = ()
    stimulus: str = ""

    def __post_init__(self) -> None:
        if self.stimulus and (self.trials or self.fold is not None):
            raise InputError(f"stimulus: expected one with a tier only, got {self.stimulus!r}; drop trials and fold")
        if self.count < 1:
            raise InputError(f"count: expected at least 1 clip, got {self.count}; correct this value")
        if self.skip < 0 or (self.skip and self.trials):
            raise InputError(f"skip: expected 0 or more, and 0 beside trials, got {self.skip}; correct this value")
        if len(set(self.trials)) < len(self.trials):
            raise InputError(f"trials: expected each number once, got {self.trials}; leave out the repeats")


@dataclass(frozen=True)
class Clip:
    """The presentation of a video to reconstruct, and the trials that repeat it."""

    trial: Trial
    repeats: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Clips of one recording and of equal length, reconstructed together."""

    recording: SensoriumRecording
    clips: tuple[Clip, ...]
    strangers: tuple[Trial, ...]
    """For each clip, a trial of another video that looks different: its measurement is the null."""

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trials to reconstruct, in order."""
        return tuple(clip.trial for clip in self.clips)

    @cached_property
    def movie(self) -> Tensor:
        """The presented movies `[B,C,T,H,W]`; never given to a method."""
        return stack(self.trials)[0]

    @property
    def frames(self) -> int:
        """Length of the clips in frames."""
        return int(self.movie.shape[2])

    @property
    def recorded(self) -> Presentation:
        """The presentation of the trials themselves."""
        _, responses, behavior = stack(self.trials)
        return responses, behavior

    @cached_property
    def repeated(self) -> tuple[Presentation, ...]:
        """The repeats of the clips, as many as every clip has."""
        count = min(len(clip.repeats) for clip in self.clips)
        trials = [[self._cut(clip.repeats[i]) for clip in self.clips] for i in range(count)]
        return tuple(stack(presentation)[1:] for presentation in trials)

    def _cut(self, index: int) -> Trial:
        trial = self.recording.trial(index)
        if trial.movie.shape[1] != self.frames:
            raise InputError(
                f"trial {index}: expected {self.frames} frames as in the other presentations of {trial.video_id}, "
                f"got {trial.movie.shape[1]}; use condition recorded"
            )
        return trial


def choose_clips(recording: SensoriumRecording, clips: Clips) -> tuple[Clip, ...]:
    """Return the first presentation of each distinct video of a tier, with the trials that repeat it.

    With a fold or trials, return those, each with the other trials of its tier and video.
    """
    if clips.trials:
        return tuple(_named(recording, index) for index in clips.trials)
    if clips.fold is not None:
        found = [index for index in fold_trials(recording, clips.fold) if recording.has_responses(index)]
        _enough(recording, clips, found, f"trials with responses in fold {clips.fold}")
        return tuple(_named(recording, index) for index in found[clips.skip :][: clips.count])
    shown: dict[str, list[int]] = {}
    for index in recording.trials(clips.tier):
        if recording.has_responses(index) and clips.stimulus in ("", recording.stimuli[index]):
            shown.setdefault(recording.video_ids[index], []).append(index)
    kind = f" that show {clips.stimulus}" if clips.stimulus else ""
    _enough(recording, clips, shown, f"videos with responses in tier {clips.tier}{kind}")
    chosen = list(shown.values())[clips.skip :][: clips.count]
    return tuple(Clip(recording.trial(first), tuple(others)) for first, *others in chosen)


def validation_clips(recording: SensoriumRecording, *, most: int = 20) -> tuple[Clip, ...]:
    """Return the first presentations of at most `most` videos of tier "oracle", the validation clips."""
    videos = {recording.video_ids[i] for i in recording.trials("oracle") if recording.has_responses(i)}
    return choose_clips(recording, Clips("oracle", min(len(videos), most))) if videos else ()


def _enough(recording: SensoriumRecording, clips: Clips, found: Sized, what: str) -> None:
    if len(found) < clips.skip + clips.count:
        tiers = sorted(set(recording.tiers) - {"none"})
        after = f" after {clips.skip} that are skipped" if clips.skip else ""
        kinds = sorted(set(recording.stimuli) - {""}) if clips.stimulus else []
        raise InputError(
            f"clips: expected {clips.count} {what}{after}, got {len(found)} in "
            f"{recording.path}; lower clips.count or take another tier of {', '.join(tiers)}"
            + (f", or stimulus of {', '.join(kinds) or 'none that is known'}" if clips.stimulus else "")
        )


def _named(recording: SensoriumRecording, index: int) -> Clip:
    if not 0 <= index < len(recording.tiers) or not recording.has_responses(index):
        raise InputError(
            f"clips.trials: expected trials with responses, of 0–{len(recording.tiers) - 1} in {recording.path}, "
            f"got {index}; see `recon data info`"
        )
    alike = recording.trials(recording.tiers[index])
    others = [i for i in alike if i != index and recording.video_ids[i] == recording.video_ids[index]]
    return Clip(recording.trial(index), tuple(i for i in others if recording.has_responses(i)))


def batches(recording: SensoriumRecording, clips: Sequence[Clip], *, size: int) -> list[Batch]:
    """Return the clips in batches of at most `size` clips of equal length."""
    by_length: dict[int, list[Clip]] = {}
    for clip in clips:
        by_length.setdefault(clip.trial.movie.shape[1], []).append(clip)
    return [
        Batch(
            recording,
            tuple(alike[first : first + size]),
            tuple(_stranger(alike, i) for i in range(first, min(first + size, len(alike)))),
        )
        for alike in by_length.values()
        for first in range(0, len(alike), size)
    ]


def _stranger(clips: Sequence[Clip], index: int) -> Trial:
    """Return the next clip's trial that looks different from clip `index`, else the most different one.

    Two cuts from one film of a fixed camera share most of their pixels; the null must not contain the scene.
    """
    others = [clips[(index + step) % len(clips)].trial for step in range(1, len(clips))]
    own = clips[index].trial
    alike = {other.index: likeness(own.movie, other.movie) for other in others}
    nearest = next((other for other in others if alike[other.index] < ALIKE), None)
    return nearest or min(others, key=lambda other: alike[other.index], default=own)


def likeness(movie: Tensor, other: Tensor) -> float:
    """Return the correlation of the mean frames of two movies `[C,T,H,W]`; 0 if one is constant."""
    value = float(pearson(movie.mean((0, 1)).flatten(), other.mean((0, 1)).flatten()))
    return value if value == value else 0.0
