"""Search for re-encoded and time-shifted copies by correlation.

Each frame is reduced to an 8×4 picture minus its mean, and each video to the changes of these pictures over a third of
a second. This removes the static background of a fixed camera, which all clips of a film share. All videos are
correlated at all shifts at once (FFT), and pairs are compared in detail around their best shift
(`recon.data.duplicates.compare`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import fft

from recon.data.duplicates.compare import LAG, LEVELS, OVERLAP, STILL, Sketch, compare
from recon.data.duplicates.find import Match, Progress, Signature, confirmed, joined
from recon.data.layout import Array

Pair = tuple[int, int, int]
"""Two videos and a shift: the frame of the first at which the second starts."""

CANDIDATE = 0.5
"""Minimum correlation of changes for a detailed comparison; moving copies reach nearly 1."""
NOISE = 0.5
"""Assumed noise per cell of an 8×4 picture in grey levels; it suppresses correlations of much smaller changes."""
JITTER = 3
"""Frames around the best shift that are also compared: 10 Hz films repeat their frames at 30 Hz."""
BLOCK = 64


def copies(
    signatures: Sequence[Signature], *, known: Sequence[Match] = (), progress: Progress = iter
) -> tuple[Match, ...]:
    """Return pairs of copies beyond the known pairs: "re-encoded", "shifted", or "near" (stills).

    Two clips of a film from a fixed camera are copies only if their motion agrees at one shift. Stills are "near" if
    more than 85 % of their frames agree. Of videos known to be equal, only the longest is compared. The pairs are a
    minimal set that connects every group.
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
    """Return a proposed pair with its kind and best shift; None if the videos are not copies."""
    tried = {shift: compare(first, second, shift) for shift in range(match.shift - JITTER, match.shift + JITTER + 1)}
    moving = [shift for shift, found in tried.items() if found.same_motion]
    if moving:
        shift = max(moving, key=lambda one: (tried[one].change, -abs(one - match.shift)))
        return Match(match.first, match.second, "shifted" if shift else "re-encoded", shift)
    return Match(match.first, match.second, "near") if compare(first, second, 0).same_still else None


def candidates(sketches: Sequence[Sketch], *, progress: Progress = iter) -> Iterator[Pair]:
    """Yield pairs of videos whose changes correlate by more than `CANDIDATE`, each at its most significant shift.

    The correlation over n shared frames is r = Σ a·b / √((Σ a² + n σ²)(Σ b² + n σ²)), with σ² the noise variance of a
    change. The most significant shift maximises √n artanh r, which penalises short overlaps.
    """
    order = sorted(range(len(sketches)), key=lambda i: len(sketches[i].frames), reverse=True)
    eligible = [i for i in order if len(sketches[i].frames) >= OVERLAP]
    if not eligible:
        return
    longest = len(sketches[eligible[0]].changes)
    changes = np.stack([_padded(sketches[i].changes, longest) for i in eligible])
    lengths = np.array([len(sketches[i].changes) for i in eligible])
    size = int(fft.next_fast_len(2 * longest, real=True))
    spectra = fft.rfft(changes, size, axis=1).transpose(1, 0, 2)
    floor = np.arange(longest + 1) * 2 * NOISE**2 * changes.shape[-1]
    energies = np.pad(np.square(changes).sum(-1).cumsum(1, dtype=np.float64), ((0, 0), (1, 0))) + floor
    shifts = np.arange(OVERLAP - LAG - longest, longest - OVERLAP + LAG + 1)
    starts = range(0, len(eligible), BLOCK)
    blocks = [(slice(a, a + BLOCK), slice(b, b + BLOCK)) for a in starts for b in starts if b >= a]
    for number in progress(range(len(blocks))):
        rows, columns = blocks[number]
        spectrum = np.matmul(spectra[:, rows], spectra[:, columns].conj().transpose(0, 2, 1))
        products = fft.irfft(spectrum, size, axis=0)[shifts]
        shared, scale = _overlaps(shifts, [lengths[rows], lengths[columns]], [energies[rows], energies[columns]])
        for i, j, best in _best_shifts(products / scale, shared):
            a, b = rows.start + i, columns.start + j
            if a < b:
                yield _ordered(eligible[a], eligible[b], int(shifts[best]))


def _representatives(signatures: Sequence[Signature], known: Sequence[Match]) -> list[int]:
    groups: dict[int, list[int]] = {}
    for i, label in enumerate(joined(len(signatures), [match for match in known if match.shift == 0])):
        groups.setdefault(label, []).append(i)
    return [max(members, key=lambda i: len(signatures[i].reduced)) for members in groups.values()]


def _still_pairs(sketches: Sequence[Sketch]) -> Iterator[Pair]:
    """Yield pairs with similar mean frames, of which at least one video is still."""
    means = np.array([item.mean for item in sketches])
    still = {i for i, item in enumerate(sketches) if item.motion < STILL}
    for i in sorted(still):
        alike = np.flatnonzero(np.square(means - means[i]).mean(1) < (4 * LEVELS) ** 2).tolist()
        yield from ((min(i, j), max(i, j), 0) for j in alike if j > i or j not in still)


def _overlaps(shifts: Array, lengths: Sequence[Array], energies: Sequence[Array]) -> tuple[Array, Array]:
    """Return for row and column videos `[S,I,J]` the number of shared changes and the root of their energy product."""
    # If all lengths of a block are equal, one represents all, and broadcasting keeps the arrays small.
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


def _best_shifts(correlation: Array, shared: Array) -> Iterator[tuple[int, int, int]]:
    """Yield pairs (row, column) that correlate at some shift `[S,I,J]`, with the index of the most significant one."""
    enough = np.broadcast_to(shared >= OVERLAP - LAG, correlation.shape)
    for i, j in np.argwhere(np.where(enough, correlation, 0).max(0) > CANDIDATE):
        here = np.where(enough[:, i, j], np.clip(correlation[:, i, j], 0, 0.99), 0)
        count = np.broadcast_to(shared, correlation.shape)[:, i, j]
        yield int(i), int(j), int((np.sqrt(count) * np.arctanh(here)).argmax())


def _ordered(first: int, second: int, shift: int) -> Pair:
    return (first, second, shift) if first < second else (second, first, -shift)


def _padded(changes: Array, length: int) -> Array:
    return np.pad(changes, ((0, length - len(changes)), (0, 0))).astype(np.float32)
