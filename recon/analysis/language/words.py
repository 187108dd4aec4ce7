"""Which words a neuron likes: regression on the presence of words, asked about clips that it did not learn from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recon.analysis.language.features import binned, delayed
from recon.analysis.language.ridge import PENALTIES, content_folds, fit_readout
from recon.data.caption_tables import Said

Mentioned = Callable[[str], Set[str]]
"""What a text says, as words or as concepts."""

WORD = r"[^\W\d_]{2,}"
LEAST = 6
"""Contents (scenes of different sources) that a word must be said of, and at least as many of which it must not be."""


@dataclass(frozen=True)
class Preferences:
    """What each word adds to the prediction of each neuron on held-out clips `[W,N]`, and how that stands to chance.

    `gain` is the share of the response's variance that is left unexplained without the word, negative where the word
    misleads, with the sign of its effect in `sign`: a word is liked where both are positive. `z` and `p` compare
    sign·gain with the same of words exchanged between whole clips, so that each is said as often; they are NaN where no
    exchange of the clips makes a difference.
    """

    words: tuple[str, ...]
    clips: tuple[int, ...]
    gain: Tensor
    sign: Tensor
    z: Tensor
    p: Tensor

    @property
    def liking(self) -> Tensor:
        """What a word adds, with the sign of its effect `[W,N]`."""
        return self.gain.clamp_min(0) * self.sign


def words_of(text: str) -> set[str]:
    """Return the words of a text, in lower case, without those that carry no meaning of their own.

    >>> sorted(words_of("A small star moves to the left of it"))
    ['left', 'moves', 'small', 'star']
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return {word for word in re.findall(WORD, text.lower()) if word not in ENGLISH_STOP_WORDS}


def concepts_of(concepts: Mapping[str, Sequence[str]]) -> Mentioned:
    """Return what finds the concepts in a text, each of which is mentioned where one of its words is.

    >>> sorted(concepts_of({"object": ["star", "ring"], "to a side": ["left", "right"]})("A Star moves up"))
    ['object']
    """
    groups = {name: {word.lower() for word in words} for name, words in concepts.items()}

    def mentioned(text: str) -> set[str]:
        words = set(re.findall(WORD, text.lower()))
        return {name for name, group in groups.items() if words & group}

    return mentioned


def vocabulary(
    said: Iterable[Said], content: Callable[[Said], str], least: int = LEAST, *, mentioned: Mentioned = words_of
) -> dict[str, int]:
    """Return words in the order of the alphabet with the contents that they are said of: neither too few nor all.

    What a neuron does when one photograph is shown says nothing about the words for it, however often it is shown.
    """
    of_content: dict[str, set[str]] = {}
    for one in said:
        of_content.setdefault(content(one), set()).update(mentioned(one.text))
    counts: dict[str, int] = {}
    for known in of_content.values():
        for word in known:
            counts[word] = counts.get(word, 0) + 1
    return {word: counts[word] for word in sorted(counts) if least <= counts[word] <= len(of_content) - least}


def presence(
    said: Sequence[Said],
    words: Sequence[str],
    *,
    frames: int,
    size: int,
    delays: int,
    mentioned: Mentioned = words_of,
) -> Tensor:
    """Return how far each word is said `[B,W]` in bins of `size` frames and the `delays` − 1 before, on average."""
    places = {word: place for place, word in enumerate(words)}
    over_time = torch.zeros(frames, len(words))
    for one in said:
        here = [places[word] for word in mentioned(one.text) if word in places]
        over_time[one.first : one.end, here] = 1.0
    bins = binned(over_time, size)
    return delayed(bins, delays).reshape(len(bins), delays, len(words)).mean(1)


def preferences(
    shown: Sequence[Tensor],
    responses: Sequence[Tensor],
    words: Mapping[str, int],
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    permutations: int = 200,
    generator: np.random.Generator,
) -> Preferences:
    """Return what the words add to predictions of the responses `[B,N]` to clips, from their presence `[B,W]` in each.

    Each clip is predicted by ridge that was fitted to the others (`folds`), with the penalty that cross-validation on
    all of them chose for a neuron. Chance exchanges the words of whole clips, which keeps how often each is said.
    """
    bins = min(len(one) for one in (*shown, *responses))
    x, y = (torch.stack([one[:bins] for one in clips]).double() for clips in (shown, responses))
    groups = [clip for clip in range(len(x)) for _ in range(bins)]
    chosen = fit_readout(x.flatten(0, 1), y.flatten(0, 1), groups, penalties=penalties, folds=folds).penalty
    splits = [torch.from_numpy(held) for _, held in content_folds(range(len(x)), folds)]
    gain, sign = _gains(x, y, chosen, splits)
    found = _signed(gain, sign)

    def drawn() -> Tensor:
        return _signed(*_gains(x[torch.from_numpy(generator.permutation(len(x)))], y, chosen, splits))

    z, p = _compared(found, drawn, permutations)
    return Preferences(tuple(words), tuple(words.values()), gain, sign, z, torch.where(gain.isnan(), torch.nan, p))


def _compared(found: Tensor, drawn: Callable[[], Tensor], draws: int) -> tuple[Tensor, Tensor]:
    """Return z and p `[W,N]` of what was found among `draws` of chance.

    The first half of the draws says what chance is for a word and neuron, mean and spread. In its units the found value
    is compared with the second half, the draws of a word over all neurons together: among those of one neuron alone,
    p would not get small enough to survive the correction for thousands. Only sums are kept.
    """
    total, squares = torch.zeros_like(found), torch.zeros_like(found)
    half = max(draws // 2, 1)
    for _ in range(half):
        one = drawn()
        total, squares = total + one, squares + one**2
    mean = total / half
    deviation = (squares / half - mean**2).clamp_min(0).sqrt()
    deviation = torch.where(deviation > 0, deviation, torch.nan)
    z = (found - mean) / deviation
    sizes = z.abs().contiguous()
    reached, among = torch.ones_like(found), torch.ones(len(found), 1, dtype=found.dtype)
    for _ in range(max(draws - half, 1)):
        chance = ((drawn() - mean) / deviation).abs().nan_to_num(-1.0).sort(1).values
        reached += chance.shape[1] - torch.searchsorted(chance, sizes)
        among += (chance >= 0).sum(1, keepdim=True)
    return z, torch.where(z.isnan(), torch.nan, reached / among)


def _signed(gain: Tensor, sign: Tensor) -> Tensor:
    return gain.clamp_min(0) * sign


def _gains(x: Tensor, y: Tensor, penalty: Tensor, splits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what each word adds on held-out clips, as a share of variance, and the sign of its effect `[W,N]`.

    Without a word's part c of the prediction the error is e + c: it adds the sum of (e + c)² − e² = 2·e·c + c². Sums of
    products over each fold's clips are all that fitting and asking need.
    """
    parts = [_Sums.of(x[held].flatten(0, 1), y[held].flatten(0, 1)) for held in splits]
    everything = _Sums(*(sum(values[1:], values[0]) for values in zip(*parts, strict=True)))
    gain = effect = torch.zeros_like(everything.xy)
    for held in parts:
        learnt = _Sums(*(whole - part for whole, part in zip(everything, held, strict=True)))
        centre = learnt.x / learnt.samples, learnt.y / learnt.samples
        _, xx, xy, *_ = learnt.about(*centre)
        values, axes = torch.linalg.eigh(xx)
        weights = axes @ ((axes.T @ xy) / (values.clamp_min(0)[:, None] + penalty))
        _, xx, xy, *_ = held.about(*centre)
        gain = gain + 2 * weights * (xy - xx @ weights) + weights.square() * xx.diagonal()[:, None]
        effect = effect + weights
    power = (y - y.mean((0, 1))).square().sum((0, 1))
    return gain / torch.where(power > 0, power, torch.nan), effect.sign()


class _Sums(NamedTuple):
    """Samples, and sums over them: x·xᵀ `[W,W]`, x·yᵀ `[W,N]`, x `[W]`, y `[N]`."""

    samples: Tensor
    xx: Tensor
    xy: Tensor
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> _Sums:
        return cls(torch.tensor(float(len(x))), x.T @ x, x.T @ y, x.sum(0), y.sum(0))

    def about(self, x: Tensor, y: Tensor) -> _Sums:
        """Return the sums of x and y less a centre of each."""
        xx = self.xx - torch.outer(x, self.x) - torch.outer(self.x, x) + self.samples * torch.outer(x, x)
        xy = self.xy - torch.outer(x, self.y) - torch.outer(self.x, y) + self.samples * torch.outer(x, y)
        return _Sums(self.samples, xx, xy, self.x - self.samples * x, self.y - self.samples * y)
