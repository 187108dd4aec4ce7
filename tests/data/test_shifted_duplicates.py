"""Re-encoded copies and copies at another time: planted ones are found, other videos are not confused."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds.copies import CHANGES, Movie, found_between, jpeg, noisy

from recon import cli
from recon.data.duplicates import shifted
from recon.data.duplicates.compare import OVERLAP, STILL, Sketch, VideoComparison, compare
from recon.data.duplicates.find import Match, Signature, leaks, matches, signature, split_by_content
from recon.data.duplicates.groups import find_groups, trial_groups
from recon.data.duplicates.shifted import candidates, copies
from recon.data.open import open_recording
from recon.data.video import SUFFIXES
from recon.data.writer import RecordingWriter
from recon.simulate.films import read_film
from recon.simulate.movies import make_clip


@pytest.fixture(scope="module")
def films() -> list[Movie]:
    """Twelve generated movies of 160 frames."""
    return [make_clip("train", i, frames=160, frame_size=(18, 32), degrees_per_pixel=3.88).video for i in range(12)]


def test_generated_movies_are_not_confused(films: list[Movie]) -> None:
    others = [make_clip(split, i, frames=160).video for split in ("validation", "test") for i in range(8)]
    assert found_between(*films, *others) == ()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shift", [-23, 0, 5, 17, 60])
def test_planted_copies_are_found_among_others_with_their_shift(films: list[Movie], change: str, shift: int) -> None:
    movie, length = films[3], 100
    copy = CHANGES[change](movie[max(shift, 0) :][:length])
    (match,) = found_between(*films[:3], movie[max(-shift, 0) :][:length], *films[4:], copy)
    assert (match.first, match.second, match.shift) == (3, 12, shift)
    assert match.kind in (("shifted",) if shift else ("near", "re-encoded"))


def test_the_exact_test_alone_misses_what_correlation_finds(films: list[Movie]) -> None:
    pair = [signature(films[3][:100]), signature(noisy(films[3][17:117]))]
    assert matches(pair) == () and copies(pair) == (Match(0, 1, "shifted", 17),)


def test_another_place_contrast_or_direction_of_time_is_another_video(films: list[Movie]) -> None:
    movie = films[3]
    assert found_between(movie, movie[:, :, ::-1]) == ()
    assert found_between(movie, movie[::-1]) == ()
    assert found_between(movie, 255 - movie) == ()
    assert found_between(movie, 128 + 0.5 * (movie.astype(np.float32) - 128)) == ()


def scene(background: Movie, columns: Movie) -> Movie:
    """A bright square of 6×6 pixels that stands at a column in each frame, before a background `(36,64)`."""
    movie = np.repeat(background[None], len(columns), 0).astype(np.float32)
    for frame, column in zip(movie, columns.astype(int), strict=True):
        frame[15:21, column : column + 6] = 250
    return movie


def test_one_background_with_other_motion_is_another_video_and_a_still_shot_is_near() -> None:
    background = np.repeat(np.repeat(np.random.default_rng(1).uniform(30, 220, (6, 8)), 6, 0), 8, 1)
    rightward, leftward = scene(background, np.linspace(0, 57, 120)), scene(background, np.linspace(57, 0, 120))
    assert found_between(rightward, leftward) == ()
    assert found_between(rightward, noisy(rightward[20:])) == (Match(0, 1, "shifted", 20),)
    still = np.repeat(background[None], 120, 0)
    assert found_between(noisy(still), noisy(still)[:90]) == (Match(0, 1, "near"),)
    assert found_between(still, rightward) == ()


def test_plain_and_noisy_videos_are_not_copies() -> None:
    rng = np.random.default_rng(0)
    plain = [np.full((60, 36, 64), level, dtype=np.uint8) for level in (0, 60, 128)]
    faint = [np.clip(128 + rng.normal(0, 20, (60, 144, 256)), 0, 255) for _ in range(2)]
    assert found_between(*plain, *faint) == ()


def test_short_videos_and_other_lengths(films: list[Movie]) -> None:
    few = OVERLAP - 1
    assert copies([signature(films[0][:few]), signature(noisy(films[0])[:few])]) == ()
    assert copies([]) == () and list(candidates([])) == []
    found = found_between(films[1], noisy(films[1][40:95]), films[2][:few], films[4][:77])
    assert found == (Match(0, 1, "shifted", 40),)


def test_candidates_equal_plain_correlation(films: list[Movie]) -> None:
    """The best shift by FFT, against a loop over all shifts, for videos of different lengths."""
    first, second = Sketch(signature(films[5]).reduced), Sketch(signature(jpeg(films[5][31:120])).reduced)
    one, other = first.changes, second.changes
    best = {}
    for shift in range(20 - len(other), len(one) - 19):
        a, b = max(shift, 0), max(-shift, 0)
        n = min(len(one) - a, len(other) - b)
        x, y = one[a : a + n], other[b : b + n]
        r = float((x * y).sum() / np.sqrt((np.square(x).sum() + 16 * n) * (np.square(y).sum() + 16 * n)))
        best[shift] = np.sqrt(n) * np.arctanh(np.clip(r, 0, 0.99))
    assert list(candidates([first, second])) == [(0, 1, max(best, key=best.__getitem__))] == [(0, 1, 31)]


@pytest.mark.slow  # scale
def test_seven_hundred_trials_of_ten_seconds_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """244,650 pairs are correlated in blocks of 64 by 64 videos, and hardly any is compared in detail."""
    rng = np.random.default_rng(0)
    signatures = []
    for i in range(700):
        walk = 120 + 4 * rng.normal(size=(300, 9, 16)).astype(np.float32).cumsum(0) + rng.normal(0, 30, (9, 16))
        codes = rng.integers(2**62, size=300).astype(np.uint64)
        signatures.append(Signature(int(codes[0]), codes, walk.astype(np.float16), str(i)))
    blocks: list[int] = []
    compared: list[object] = []

    def counted(*pair: Any) -> VideoComparison:
        compared.append(pair)
        assert len(compared) < 0.01 * 244_650
        return compare(*pair)

    monkeypatch.setattr(shifted, "compare", counted)
    assert copies(signatures, progress=lambda numbers: (blocks.extend(numbers), numbers)[1]) == ()
    assert len(blocks) == 11 * 12 // 2


@pytest.fixture
def recordings(tmp_path: Path, films: list[Movie]) -> list[Path]:
    """Two recordings: in the first an exact, a noisy and a late copy of trial 1; in the second a copy of trial 2."""
    first = [*films[:4], films[1].copy(), noisy(films[1]), jpeg(films[2][20:])]
    second = [films[7], noisy(films[2]), films[8]]
    tiers = [["train"] * 4 + ["oracle", "train", "live_test_main"], ["train", "oracle", "train"]]
    folders = [tmp_path / "first", tmp_path / "second"]
    rng = np.random.default_rng(0)
    for folder, movies, names in zip(folders, (first, second), tiers, strict=True):
        with RecordingWriter(folder, unit_ids=range(3)) as writer:
            for i, (movie, tier) in enumerate(zip(movies, names, strict=True)):
                responses = rng.random((3, len(movie)))
                writer.write_trial(i + (i > 2), tier=tier, video=movie, responses=responses)
    return folders


def test_groups_within_and_across_recordings(recordings: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = [open_recording(folder).fingerprint() for folder in recordings]
    assert cli.main(["data", "duplicates", *map(str, recordings), "--write"]) == 0
    shown = capsys.readouterr().out
    assert "10 trials of 2 recordings: 6 different contents, 4 trials repeat another" in shown
    assert "first 1: first 5 exact, first 6 re-encoded" in shown
    assert "first 2: first 7 shifted by 20 frames, second 1 re-encoded" in shown
    assert "warning: 3 training trials share their content with a trial of another tier" in shown
    contents = [json.loads((folder / "meta/trials/content_groups.json").read_text()) for folder in recordings]
    assert contents[0]["groups"][2] == contents[0]["groups"][7] == contents[1]["groups"][1]
    assert contents[0]["groups"][3] == "" and contents[0]["kinds"] == [
        "first",
        "first",
        "first",
        "",
        "first",
        "exact",
        "re-encoded",
        "shifted",
    ]
    assert contents[0]["shifts"] == [0] * 7 + [20]
    assert [open_recording(folder).fingerprint() for folder in recordings] == before


def test_written_groups_are_what_a_split_and_a_check_go_by(
    recordings: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert trial_groups(open_recording(recordings[0])) == ()
    assert cli.main(["data", "check", str(recordings[0])]) == 0
    assert "1 in oracle 5)" in capsys.readouterr().out
    assert cli.main(["data", "duplicates", str(recordings[0]), "--write"]) == 0
    recording = open_recording(recordings[0])
    groups = trial_groups(recording)
    assert groups == (0, 1, 2, 3, 4, 1, 1, 2)
    tiers = split_by_content(groups, {"oracle": 0.2, "live_test_main": 0.2}, seed=1)
    assert leaks(tiers, groups, range(8)) == ()
    capsys.readouterr()
    assert cli.main(["data", "check", str(recordings[0])]) == 0
    assert "3 training videos also occur, exactly or nearly, in another tier" in capsys.readouterr().out


def test_files_of_groups_that_do_not_fit_are_named(recordings: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    file = recordings[1] / "meta/trials/content_groups.json"
    for content, message in (("{", "expected groups in JSON"), ('{"groups": ["a"]}', "the trials have changed")):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            trial_groups(open_recording(recordings[1]))
        assert cli.main(["data", "check", str(recordings[1])]) == 0
        assert message in capsys.readouterr().out
    assert cli.main(["data", "duplicates", str(recordings[1]), str(recordings[1])]) == 2
    assert "expected each recording once" in capsys.readouterr().err


def test_likeness_through_another_video_adds_up(films: list[Movie]) -> None:
    movie = films[3]
    parts = [movie[:100], noisy(movie[30:130]), movie[:100].copy(), jpeg(movie[55:155])]
    (group,) = find_groups([signature(part) for part in parts])
    assert [(one.video, one.kind, one.shift) for one in group.others] == [
        (1, "shifted", 30),
        (2, "exact", 0),
        (3, "shifted", 55),
    ]


@pytest.fixture(scope="module")
def open_films(real_data: Path) -> dict[str, Movie]:
    """The eight open films at 30 Hz, 36×64."""
    folder = real_data / "movies_open"
    if not folder.is_dir():
        pytest.skip(f"real data: expected the folder {folder}")
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
    return {file.stem: read_film(file, frame_size=(36, 64)) for file in files}


@pytest.mark.slow
@pytest.mark.real
def test_planted_copies_of_open_films_are_found(open_films: dict[str, Movie]) -> None:
    """Clips of 5 s, copied as JPEG 60, with noise or as MPEG-4, 0–60 frames later: 294 of 312 are found (94 %).

    Of those whose shared frames move (by over 1.1 grey levels of the 8×4 picture) 216 of 216 are found, 215 at their
    shift to 3 frames, which is how long a film of 10 Hz shows a frame; one, which hardly moves, is called "near". The
    18 that are missed share a still picture for part of the clip, and something else happens in the rest.
    """
    length, every, moving, placed = 150, [], [], []
    for film in open_films.values():
        for first, shift in product(range(0, len(film) - length - 59, length), (0, 5, 17, 60)):
            clip, later = film[first : first + length], film[first + shift :][:length]
            motion = compare(Sketch(signature(clip).reduced), Sketch(signature(later).reduced), shift).motion
            for change in CHANGES.values():
                found = found_between(clip, change(later))
                every.append(bool(found))
                if motion > 1.1 * STILL:
                    moving.append(bool(found))
                    placed.append(bool(found) and abs(found[0].shift - shift) <= 3)
    assert len(every) == 312 and np.mean(every) > 0.92
    assert len(moving) > 200 and all(moving) and np.mean(placed) > 0.99


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "different", "same"), [(60, 2270, 733), (75, 1492, 461), (150, 303, 103), (300, 57, 21)]
)
def test_other_clips_of_open_films_are_no_copies(
    open_films: dict[str, Movie], length: int, different: int, same: int
) -> None:
    """Of 4,122 pairs of clips of different films none is joined, of 1,318 pairs from different times of one film 44.

    Those 44 are "near" at shift 0: one of the two hardly moves, and over 85 % of the frames show one still picture.
    """
    clips = {
        (name, first): film[first : first + length]
        for name, film in open_films.items()
        for first in range(0, len(film) - length + 1, length)
    }
    names, signatures = list(clips), [signature(clip) for clip in clips.values()]
    known = matches(signatures)
    found = (*known, *copies(signatures, known=known))
    for match in found:
        first, second = (Sketch(signatures[i].reduced) for i in (match.first, match.second))
        assert names[match.first][0] == names[match.second][0]
        assert (match.kind, match.shift) == ("near", 0)
        assert min(first.motion, second.motion) < STILL
    of_one = sum(a[0] == b[0] for i, a in enumerate(names) for b in names[:i])
    assert (len(names) * (len(names) - 1) // 2 - of_one, of_one) == (different, same)
