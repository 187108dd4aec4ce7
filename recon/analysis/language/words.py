"""Word preferences of neurons: regression on the presence of words, tested on held-out clips."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon.analysis.language.features import binned, delayed
from recon.analysis.language.ridge import PENALTIES, content_folds, fit_readout
from recon.data.caption_tables import Said
from recon.methods.linear.regression import Moments, shrunk, sum_of

Mentioned = Callable[[str], Set[str]]
"""Returns the words or concepts of a text."""

WORD = r"[^\W\d_]{2,}"
LEAST = 6
"""Minimum number of contents (scenes of different sources) with a word, and of those without it."""


@dataclass(frozen=True)
class Preferences:
    """Contribution of each word to the prediction of each neuron on held-out clips `[W,N]`, with a permutation test.

    `gain` is the increase in squared error without the word, as a fraction of the response variance; it is negative
    where the word worsens the prediction. `sign` is the sign of the word's weight: a neuron prefers a word where both
    are positive. `z` and `p` compare sign·max(gain, 0) with permutations of words between whole clips, which keep word
    frequencies; they are NaN where no permutation changes the value.
    """

    words: tuple[str, ...]
    clips: tuple[int, ...]
    gain: Tensor
    sign: Tensor
    z: Tensor
    p: Tensor

    @property
    def liking(self) -> Tensor:
        """Signed contribution of a word, sign·max(gain, 0) `[W,N]`."""
        return self.gain.clamp_min(0) * self.sign


def words_of(text: str) -> set[str]:
    """Return the words of a text, in lower case, without stop words.

    >>> sorted(words_of("A small star moves to the left of it"))
    ['left', 'moves', 'small', 'star']
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return {word for word in re.findall(WORD, text.lower()) if word not in ENGLISH_STOP_WORDS}


def concepts_of(concepts: Mapping[str, Sequence[str]]) -> Mentioned:
    """Return a function that finds concepts in a text; a concept is mentioned where one of its words is.

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
    """Return words in alphabetical order with the number of contents they describe, without rare and ubiquitous words.

    Contents are counted, not presentations: repeats of one photograph are no further evidence about its words.
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
    """Return word presence `[B,W]` in bins of `size` frames, averaged over the last `delays` bins."""
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
    """Return the contributions of words to predictions of responses `[B,N]` from word presence `[B,W]`, per clip.

    Each clip is predicted by ridge regression fitted to the clips of other `folds`. A neuron's penalty is chosen once,
    by cross-validation on all clips. The null distribution permutes words between whole clips, which keeps word
    frequencies.
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
    """Return z and p `[W,N]` of the observed values against `draws` of the null distribution.

    The first half of the draws estimates the null mean and deviation per word and neuron. The second half, z-scored
    with them, is pooled over all neurons of a word and gives p: a single neuron's draws could not give p values small
    enough to survive correction for thousands of tests. Only sums are kept.
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
    """Return each word's contribution on held-out clips, as a fraction of variance, and the sign of its weight `[W,N]`.

    Without a word's part c of the prediction the error e becomes e + c; the contribution is the sum of (e + c)² − e² =
    2·e·c + c². Sums of products per fold suffice for fitting and testing.
    """
    parts = [Moments.of(x[held].flatten(0, 1), y[held].flatten(0, 1)) for held in splits]
    everything = sum_of(parts)
    gain = effect = torch.zeros_like(everything.cross)
    for held in parts:
        learnt = everything - held
        centre = learnt.features / learnt.count, learnt.targets / learnt.count
        xx, xy = learnt.about(*centre)
        values, axes = torch.linalg.eigh(xx)
        weights = axes @ shrunk(axes.T @ xy, values.clamp_min(0), penalty)
        xx, xy = held.about(*centre)
        gain = gain + 2 * weights * (xy - xx @ weights) + weights.square() * xx.diagonal()[:, None]
        effect = effect + weights
    power = (y - y.mean((0, 1))).square().sum((0, 1))
    return gain / torch.where(power > 0, power, torch.nan), effect.sign()
