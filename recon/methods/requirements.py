"""What a method requires of recording and row: declared on its class, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from recon.files.code_version import parts_of
from recon.methods.training_set import TrainingSet


@dataclass(frozen=True)
class Needs:
    """Requirements of a method, or of a part of one; a default requires nothing.

    Training trials: `trials`, their number; `frames`, the length of one of them, at most that of the clips; `context`,
    all of them cover the encoders' context; `clips`, the number of pieces as long as the clips, overlapping by half;
    `captions`, any of them has captions. `validation`: validation clips as long as the clips. `rate`: the recording's
    frame rate (Hz). `words`: captions given by the row. `places`: captions of the clips of which some phrasings name
    places. `selection`: *selection* neurons. `by_frame`: responses per frame, without bins. `canvas`: encoders of one
    canvas.
    """

    trials: int = 0
    frames: int = 0
    context: bool = False
    clips: int = 0
    captions: bool = False
    validation: bool = False
    rate: float = 0.0
    words: bool = False
    places: bool = False
    selection: bool = False
    by_frame: bool = False
    canvas: bool = False


@runtime_checkable
class Requiring(Protocol):
    """A method, or a part of one, that declares its requirements."""

    @property
    def needs(self) -> Needs: ...


@runtime_checkable
class Weighted(Protocol):
    """A method, or a part of one, that names weights; `training` is the training set of its row, not to be read."""

    def check_weights(self, training: TrainingSet) -> None:
        """Raise InputError for weights that are absent, or do not fit the recording."""
        ...


@dataclass(frozen=True)
class Supply:
    """What a recording and a row offer to a method.

    `lengths`: frames of the training trials in the row's share; `withheld`: those of them without responses. `frames`:
    length of the clips. `context`: frames of the longest context of the encoders. `validation`: lengths of the
    validation clips. `canvases`: distinct canvas sizes.
    """

    recording: str
    lengths: tuple[int, ...]
    frames: int
    rate: float
    withheld: tuple[int, ...] = ()
    context: int = 1
    validation: tuple[int, ...] = ()
    captions: bool = False
    words: bool = False
    places: bool = False
    selection: bool = True
    by_frame: bool = True
    canvases: int = 1

    @property
    def clips(self) -> int:
        """Number of pieces of training trials as long as the clips, overlapping by half."""
        step = max(self.frames // 2, 1)
        return sum((length - self.frames) // step + 1 for length in self.lengths if length >= self.frames)


def unmet(method: object, supply: Supply) -> Iterator[str]:
    """Yield one sentence per requirement of a method, or of a part of it, that is not met."""
    for part in parts_of(method):
        if isinstance(part, Requiring):
            yield from _of_trials(part.needs, supply)
            yield from _of_row(part.needs, supply)


def _of_trials(needs: Needs, supply: Supply) -> Iterator[str]:
    place, lengths = supply.recording, supply.lengths
    wanted = max(needs.trials, int(needs.clips > 0))
    if len(lengths) < wanted:
        yield (
            f"training trials: expected at least {wanted} of tier 'train', got {len(lengths)} in {place}; cut shorter "
            "trials, record more, or leave this method out"
        )
        return
    if wanted and supply.withheld:
        yield (
            f"training trials: expected responses in all, got none in trial {supply.withheld[0]} of {place}; give such "
            "trials the tier 'none'"
        )
    least = min(needs.frames, supply.frames)
    if needs.frames and max(lengths, default=0) < least:
        yield (
            f"training trials: expected one of at least {least} frames, got at most {max(lengths, default=0)} in "
            f"{place}; lower window, or cut longer trials"
        )
    if needs.context and min(lengths, default=0) < supply.context:
        yield (
            f"training trials: expected at least {supply.context} frames as the encoders' context, got "
            f"{min(lengths, default=0)} in {place}; cut longer trials"
        )
    if supply.clips < needs.clips:
        yield (
            f"training clips: expected at least {needs.clips} of {supply.frames} frames as the clips, got "
            f"{supply.clips} in {place}; record more, or cut trials of equal length"
        )
    if needs.captions and not supply.captions:
        yield (
            f"captions: expected captions of training trials in {place}, got none; use another text, or write "
            "meta/trials/captions.jsonl"
        )


def _of_row(needs: Needs, supply: Supply) -> Iterator[str]:
    if needs.validation and supply.frames not in supply.validation:
        yield (
            f"validation clips: expected one of {supply.frames} frames as the clips (tier oracle), got "
            f"{sorted(set(supply.validation)) or 'none'} in {supply.recording}; cut trials of equal length"
        )
    if needs.rate and abs(needs.rate - supply.rate) > 0.5:
        yield (
            f"generated: expected a recording at {needs.rate:g} Hz as generated movies are, got {supply.rate:g} Hz; "
            "set generated to 0"
        )
    if needs.words and not supply.words:
        yield "text given: expected the row's words true or shuffled, got none; set words, or take another text"
    if needs.places and not supply.places:
        yield (
            f"text given: expected captions of simulated scenes, which name places in some phrasings, got others in "
            f"{supply.recording}; simulate the recording anew, or leave out place"
        )
    if needs.selection and not supply.selection:
        yield "stop: expected selection neurons, got none; raise neurons.selection, or leave out stop"
    if needs.by_frame and not supply.by_frame:
        yield "sub-clips: expected responses per frame, got bins; set bins to 1, or leave out subclips"
    if needs.canvas and supply.canvases > 1:
        yield f"canvas: expected encoders of one canvas, got {supply.canvases} sizes; leave out canvas"
