"""What methods, their denoisers and their texts declare about themselves: what they see, and the strength to sweep."""

from __future__ import annotations

from dataclasses import dataclass

PAIRS = "training movies with their responses"
SPECTRUM = "the spectrum of training movies"
MEAN_FRAME = "the mean training frame"
COVERAGE = "where the encoders' neurons see"
VALIDATED = "validation clips, which select the weights"
GIVEN = "given"
"""Source of text: the captions of the row, true or shuffled."""
DECODED = "decoded"
"""Source of text: a caption decoded from the responses of the clip."""


@dataclass(frozen=True)
class Sees:
    """Everything that decides a movie besides settings and seed; facts of parts are united by `|`.

    `responses`: those of the clip, other than through decoded text. `behavior`: that of the clip, through an encoder.
    `animals`: the other animals of a row, if any. `text`: sources of text, "given", "decoded", or a typed caption in
    quotes. `pretrained`: what was trained elsewhere, by name. `learnt`: what is known beforehand of this recording or
    of movies, in words.

    >>> (Sees(responses=True) | Sees(text=("decoded",), learnt=("a",)) | Sees(learnt=("a", "b"))).learnt
    ('a', 'b')
    """

    responses: bool = False
    behavior: bool = False
    animals: bool = False
    text: tuple[str, ...] = ()
    pretrained: tuple[str, ...] = ()
    learnt: tuple[str, ...] = ()

    def __or__(self, other: Sees) -> Sees:
        return Sees(
            self.responses or other.responses,
            self.behavior or other.behavior,
            self.animals or other.animals,
            _each_once(self.text, other.text),
            _each_once(self.pretrained, other.pretrained),
            _each_once(self.learnt, other.learnt),
        )

    @property
    def activity(self) -> bool:
        """True if the movie depends on the clip's responses at all."""
        return self.responses or DECODED in self.text


NOTHING = Sees()
ENCODER = Sees(responses=True, behavior=True, animals=True)
"""Of a method guided by the misfit of a problem."""


@dataclass(frozen=True)
class Passes:
    """Planned passes over a clip, of each encoder and of a denoiser; a rule may stop a method earlier.

    >>> Passes(2.0) + Passes(1.0, 3.0) * 2
    Passes(encoder=4.0, denoiser=6.0)
    """

    encoder: float = 0.0
    denoiser: float = 0.0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.encoder + other.encoder, self.denoiser + other.denoiser)

    def __mul__(self, times: float) -> Passes:
        return Passes(self.encoder * times, self.denoiser * times)


@dataclass(frozen=True)
class Strength:
    """The setting that weighs the activity against the prior: its dotted name in a configuration, values of a sweep.

    At 0 the method sees no activity, except through its text.
    """

    name: str
    values: tuple[float, ...]

    @property
    def path(self) -> tuple[str, ...]:
        """Keys from the method to the setting.

        >>> Strength("data.beta", (1.0,)).path
        ('data', 'beta')
        """
        return tuple(self.name.split("."))


def united(*parts: Sees) -> Sees:
    """Return what several parts see together."""
    together = NOTHING
    for part in parts:
        together |= part
    return together


def _each_once(mine: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*mine, *other)))
