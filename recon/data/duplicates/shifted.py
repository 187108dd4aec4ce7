"""Copies that are no longer equal: re-encoded videos, and videos that start some frames later, found by correlation.

A frame is told by an 8×4 picture less its mean, a video by how that changes over a third of a second: so the
background of a fixed camera, which all clips of a film share, counts for nothing. All videos are correlated at all
shifts at once (FFT), and the best shift of a pair is then looked at closely (`recon.data.duplicates.compare`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import fft

from recon.data.duplicates.compare import LAG, LEVELS, OVERLAP, STILL, Sketch, compare
from recon.data.duplicates.find import Match, Progress, Signature, confirmed, joined
from recon.data.layout import Array

Pair = tuple[int, int, int]
"""Two videos, and how many frames into the first the second starts."""

CANDIDATE = 0.5
"""Correlation of changes from which a pair is looked at closely; moving copies have nearly 1."""
NOISE = 0.5
"""Grey levels of noise that a cell of an 8×4 picture is granted; changes far below it correlate with nothing."""
JITTER = 3
"""Frames around the best shift that are tried too: films of 10 Hz repeat their frames at 30 Hz."""
BLOCK = 64


def copies(
    signatures: Sequence[Signature], *, known: Sequence[Match] = (), progress: Progress = iter
) -> tuple[Match, ...]:
    """Return pairs of videos, beyond the known ones, that are copies: "re-encoded", "shifted", or "near" (a still).

    Two clips of one film by a fixed camera are copies only if the same moves in them at one shift; where nothing
    moves in either, over 85 % of the frames show one still picture, and they are "near". Of videos that are known
    to be equal only the longest is looked at. Returns as few pairs as join every group.
    """
    chosen = _representatives(signatures, known)
    sketches = [Sketch(signatures[i].reduced) for i in chosen]
    place = {i: number for number, i in enumerate(chosen)}

    def check(match: Match) -> Match | None:
        return judged(match, sketches[place[match.first]], sketches[place[match.second]])

    proposed = (*candidates(sketches, progress=progress), *_still_pairs(sketches))
    named = (Match(chosen[i], chosen[j], "near", shift) for i, j, shift in proposed)
    return confirmed(len(signatures), named, check, known=known)


def judged(match: Match, first: Sketch, second: Sketch) -> Match | None:
    """Return a proposed pair with its kind and best shift, or none where the two are no copies."""
    tried = {shift: compare(first, second, shift) for shift in range(match.shift - JITTER, match.shift + JITTER + 1)}
    moving = [shift for shift, found in tried.items() if found.same_motion]
    if moving:
        shift = max(moving, key=lambda one: (tried[one].change, -abs(one - match.shift)))
        return Match(match.first, match.second, "shifted" if shift else "re-encoded", shift)
    return Match(match.first, match.second, "near") if compare(first, second, 0).same_still else None


def candidates(sketches: Sequence[Sketch], *, progress: Progress = iter) -> Iterator[Pair]:
    """Yield pairs of videos whose changes correlate by over `CANDIDATE`, at the shift where they do most tellingly.

    The correlation r over n shared frames is Σ a·b / √((Σ a² + n σ²)(Σ b² + n σ²)) with the noise σ² of a change;
    of all shifts the one of the largest √n artanh r is taken, so that a few frames do not outdo many.
    """
    order = sorted(range(len(sketches)), key=lambda i: len(sketches[i].frames), reverse=True)
    tall = [i for i in order if len(sketches[i].frames) >= OVERLAP]
    if not tall:
        return
    longest = len(sketches[tall[0]].changes)
    changes = np.stack([_padded(sketches[i].changes, longest) for i in tall])
    lengths = np.array([len(sketches[i].changes) for i in tall])
    size = int(fft.next_fast_len(2 * longest, real=True))
    spectra = fft.rfft(changes, size, axis=1).transpose(1, 0, 2)
    floor = np.arange(longest + 1) * 2 * NOISE**2 * changes.shape[-1]
    energies = np.pad(np.square(changes).sum(-1).cumsum(1, dtype=np.float64), ((0, 0), (1, 0))) + floor
    shifts = np.arange(OVERLAP - LAG - longest, longest - OVERLAP + LAG + 1)
    starts = range(0, len(tall), BLOCK)
    blocks = [(slice(a, a + BLOCK), slice(b, b + BLOCK)) for a in starts for b in starts if b >= a]
    for number in progress(range(len(blocks))):
        rows, columns = blocks[number]
        spectrum = np.matmul(spectra[:, rows], spectra[:, columns].conj().transpose(0, 2, 1))
        products = fft.irfft(spectrum, size, axis=0)[shifts]
        shared, scale = _overlaps(shifts, [lengths[rows], lengths[columns]], [energies[rows], energies[columns]])
        for i, j, best in _telling(products / scale, shared):
            a, b = rows.start + i, columns.start + j
            if a < b:
                yield _ordered(tall[a], tall[b], int(shifts[best]))


def _representatives(signatures: Sequence[Signature], known: Sequence[Match]) -> list[int]:
    groups: dict[int, list[int]] = {}
    for i, label in enumerate(joined(len(signatures), [match for match in known if match.shift == 0])):
        groups.setdefault(label, []).append(i)
    return [max(members, key=lambda i: len(signatures[i].reduced)) for members in groups.values()]


def _still_pairs(sketches: Sequence[Sketch]) -> Iterator[Pair]:
    """Pairs of which at least one hardly moves, with mean frames that are alike."""
    means = np.array([item.mean for item in sketches])
    still = {i for i, item in enumerate(sketches) if item.motion < STILL}
    for i in sorted(still):
        alike = np.flatnonzero(np.square(means - means[i]).mean(1) < (4 * LEVELS) ** 2).tolist()
        yield from ((min(i, j), max(i, j), 0) for j in alike if j > i or j not in still)


def _overlaps(shifts: Array, lengths: Sequence[Array], energies: Sequence[Array]) -> tuple[Array, Array]:
    """Return for videos in rows and columns `[S,I,J]` how many changes they share, and √ of their energies there."""
    # Where all lengths of a block are equal, one of them stands for all, and the arrays stay thin.
    ours, theirs = (one[:1] if (one == one[0]).all() else one for one in lengths)
    shift, ours, theirs = shifts[:, None, None], ours[None, :, None], theirs[None, None, :]
    first, end = np.maximum(shift, 0), np.minimum(ours, theirs + shift)
    end = np.maximum(first, end)
    rows, columns = (np.arange(len(one)) for one in energies)
    row_energy = energies[0][rows[None, :, None], end] - energies[0][rows[None, :, None], first]
    last = energies[1].shape[1] - 1
    bounds = [np.clip(one - shift, 0, last) for one in (first, end)]
    column_energy = energies[1][columns[None, None, :], bounds[1]] - energies[1][columns[None, None, :], bounds[0]]
    scale = np.sqrt(row_energy).astype(np.float32) * np.sqrt(column_energy).astype(np.float32)
    return end - first, np.where(scale > 0, scale, np.inf)


def _telling(correlation: Array, shared: Array) -> Iterator[tuple[int, int, int]]:
    """Pairs (row, column) that correlate at some shift `[S,I,J]`, with the place of the most telling one."""
    enough = np.broadcast_to(shared >= OVERLAP - LAG, correlation.shape)
    for i, j in np.argwhere(np.where(enough, correlation, 0).max(0) > CANDIDATE):
        here = np.where(enough[:, i, j], np.clip(correlation[:, i, j], 0, 0.99), 0)
        count = np.broadcast_to(shared, correlation.shape)[:, i, j]
        yield int(i), int(j), int((np.sqrt(count) * np.arctanh(here)).argmax())


def _ordered(first: int, second: int, shift: int) -> Pair:
    return (first, second, shift) if first < second else (second, first, -shift)


def _padded(changes: Array, length: int) -> Array:
    return np.pad(changes, ((0, length - len(changes)), (0, 0))).astype(np.float32)
