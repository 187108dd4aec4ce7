"""Import of plain arrays: every container, order of axes and range; cuts, tiers, and splits that never leak."""

from __future__ import annotations

import gzip

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from recon.data.arrays import read_array
from recon.data.duplicates.find import check_split
from recon.data.formats.arrays_import import import_arrays
from recon.data.open import open_recording

RNG = np.random.default_rng(0)
FRAMES = 600
MOVIE = RNG.integers(0, 256, (FRAMES, 12, 18), dtype=np.uint8)
COUNTS = RNG.poisson(1.0, (9, FRAMES)).astype(np.uint8)
SCALE = {"frame_rate": 30.0, "degrees_per_pixel": 1.5}


def _joined(recording, tiers=("train", "oracle", "live_test_main")):
    trials = [recording.trial(i) for i, tier in enumerate(recording.tiers) if tier in tiers]
    movie = np.concatenate([np.rint(trial.movie[0].numpy() * 255) for trial in trials])
    return movie, np.concatenate([trial.responses.numpy() for trial in trials], 1)


def test_a_continuous_movie_is_cut_into_blocks_of_time(tmp_path):
    recording = import_arrays(tmp_path / "r", movie=MOVIE, responses=COUNTS, trial_frames=60, **SCALE)
    assert recording.tiers == ("train",) * 8 + ("oracle", "live_test_main")
    movie, responses = _joined(recording)
    np.testing.assert_array_equal(movie, MOVIE)
    np.testing.assert_array_equal(responses, COUNTS)
    assert recording.degrees_per_pixel == 1.5 and recording.unit_ids == tuple(range(9))
    assert recording.trial(0).behavior is None
    assert np.load(tmp_path / "r/data/responses/0.npy").dtype == np.uint8


@pytest.mark.parametrize("container", ["npy", "npy.gz", "npz", "h5", "memory"])
def test_every_container_gives_the_same_recording(tmp_path, container):
    if container == "npy":
        np.save(tmp_path / "m.npy", MOVIE), np.save(tmp_path / "c.npy", COUNTS)
        movie, counts = tmp_path / "m.npy", str(tmp_path / "c.npy")
    elif container == "npy.gz":
        for name, array in (("m", MOVIE), ("c", COUNTS)):
            with gzip.open(tmp_path / f"{name}.npy.gz", "wb") as stream:
                np.save(stream, array)
        movie, counts = tmp_path / "m.npy.gz", tmp_path / "c.npy.gz"
    elif container == "npz":
        np.savez(tmp_path / "all.npz", m=MOVIE, c=COUNTS)
        movie, counts = f"{tmp_path}/all.npz:m", f"{tmp_path}/all.npz:c"
    elif container == "h5":
        with h5py.File(tmp_path / "all.h5", "w") as file:
            file["stimulus/m"], file["c"] = MOVIE, COUNTS
        movie, counts = f"{tmp_path}/all.h5:stimulus/m", f"{tmp_path}/all.h5:c"
    else:
        movie, counts = MOVIE, COUNTS
    recording = import_arrays(tmp_path / "r", movie=movie, responses=counts, trial_frames=100, **SCALE)
    np.testing.assert_array_equal(_joined(recording)[0], MOVIE)
    np.testing.assert_array_equal(_joined(recording)[1], COUNTS)


@pytest.mark.parametrize("axes", ["thw", "hwt", "twh", "wht"])
def test_every_order_of_axes(tmp_path, axes):
    movie = MOVIE.transpose(["thw".index(axis) for axis in axes])
    recording = import_arrays(tmp_path / "r", movie=movie, axes=axes, responses=COUNTS.T, trial_frames=100, **SCALE)
    np.testing.assert_array_equal(_joined(recording)[0], MOVIE)
    np.testing.assert_array_equal(_joined(recording)[1], COUNTS)


@pytest.mark.parametrize(
    ("movie", "movie_range", "expected"),
    [
        (MOVIE / 255.0, None, MOVIE),
        (MOVIE.astype(np.float32), None, MOVIE),
        (MOVIE > 127, None, 255.0 * (MOVIE > 127)),
        ((MOVIE > 127).astype(np.uint8), None, 255.0 * (MOVIE > 127)),
        (np.where(MOVIE > 127, 1.0, -1.0), (-1, 1), 255.0 * (MOVIE > 127)),
        (MOVIE.astype(np.int16) * 2 - 255, (-255, 255), MOVIE),
    ],
)
def test_ranges_map_to_grey_levels(tmp_path, movie, movie_range, expected):
    recording = import_arrays(
        tmp_path / "r", movie=movie, responses=COUNTS, movie_range=movie_range, trial_frames=100, **SCALE
    )
    np.testing.assert_array_equal(_joined(recording)[0], expected)


def test_matlab_files_of_both_kinds(tmp_path):
    savemat(tmp_path / "old.mat", {"movie": MOVIE, "counts": COUNTS})
    with h5py.File(tmp_path / "new.mat", "w") as file:  # MATLAB stores the first axis first
        file["movie"], file["counts"] = MOVIE.T, COUNTS.T
    for name in ("old", "new"):
        movie, responses = f"{tmp_path}/{name}.mat:movie", f"{tmp_path}/{name}.mat:counts"
        recording = import_arrays(tmp_path / name, movie=movie, responses=responses, trial_frames=100, **SCALE)
        np.testing.assert_array_equal(_joined(recording)[0], MOVIE)
        np.testing.assert_array_equal(_joined(recording)[1], COUNTS)
        np.testing.assert_array_equal(read_array(responses), COUNTS)


def test_packed_bits_and_resizing(tmp_path):
    bits = RNG.random((FRAMES, 12, 18)) > 0.5
    packed = np.packbits(bits.reshape(FRAMES, -1), axis=1)
    recording = import_arrays(
        tmp_path / "r",
        movie=packed,
        packed=(12, 18),
        axes="twh",
        responses=COUNTS,
        frame_size=(9, 6),
        trial_frames=100,
        **SCALE,
    )
    expected = np.rint(255 * bits.transpose(0, 2, 1).reshape(FRAMES, 9, 2, 6, 2).mean((2, 4)))
    np.testing.assert_allclose(_joined(recording)[0], expected, atol=1)
    assert recording.frame_size == (9, 6)


def test_trials_with_behavior(tmp_path):
    movie, responses = MOVIE.reshape(10, 60, 12, 18), COUNTS.reshape(9, 10, 60).swapaxes(0, 1)
    behavior, pupil = RNG.random((10, 2, 60)), RNG.random((10, 60, 2))
    recording = import_arrays(
        tmp_path / "r",
        movie=movie,
        axes="rthw",
        responses=responses,
        behavior=behavior,
        pupil_center=pupil,
        validation=0.2,
        test=0.3,
        seed=1,
        unit_ids=np.arange(9) * 5,
        coordinates=np.ones((9, 3)),
        **SCALE,
    )
    assert (recording.tiers.count("oracle"), recording.tiers.count("live_test_main")) == (2, 3)
    trial = recording.trial(4)
    np.testing.assert_array_equal(np.rint(trial.movie[0].numpy() * 255), movie[4])
    np.testing.assert_array_equal(trial.responses.numpy(), responses[4])
    expected = np.concatenate([behavior[4], pupil[4].T]).astype(np.float32)
    np.testing.assert_array_equal(trial.behavior.numpy(), expected)
    assert recording.unit_ids[2] == 10 and recording.coordinates[0, 0] == 1


def test_the_first_frames_train_and_the_rest_tests(tmp_path):
    recording = import_arrays(
        tmp_path / "r", movie=MOVIE, responses=COUNTS, train_frames=450, trial_frames=100, validation=0.25, **SCALE
    )
    assert recording.tiers == ("train", "train", "train", "train", "oracle", "live_test_main", "live_test_main")
    np.testing.assert_array_equal(_joined(recording, ("live_test_main",))[0], MOVIE[450:])
    np.testing.assert_array_equal(_joined(recording, ("oracle",))[0], MOVIE[400:450])


def test_a_short_rest_is_left_out_and_long_trials_are_cut(tmp_path):
    recording = import_arrays(tmp_path / "r", movie=MOVIE[:510], responses=COUNTS[:, :510], trial_frames=100, **SCALE)
    assert len(recording.tiers) == 5
    long = import_arrays(
        tmp_path / "long",
        movie=MOVIE.reshape(1, 600, 12, 18),
        axes="rthw",
        responses=COUNTS[None],
        validation=0.0,
        test=0.5,
        **SCALE,
    )
    assert [long.trial(i).movie.shape[1] for i in (0, 1)] == [300, 300]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_repeated_videos_never_stand_on_both_sides(tmp_path, seed):
    shown = RNG.integers(0, 8, 30)
    movie = MOVIE[:480].reshape(8, 60, 12, 18)[shown].astype(np.float32)
    movie[3:] = np.clip(movie[3:] + RNG.normal(0, 0.5, movie[3:].shape), 0, 255)
    responses = RNG.poisson(1.0, (30, 9, 60))
    options = {"validation": 0.2, "test": 0.2, "seed": seed}
    random = import_arrays(tmp_path / "a", movie=movie, axes="rthw", responses=responses, **options, **SCALE)
    blocks = import_arrays(
        tmp_path / "b",
        movie=movie.reshape(1800, 12, 18),
        responses=responses.swapaxes(0, 1).reshape(9, 1800),
        trial_frames=60,
        **options,
        **SCALE,
    )
    for recording in (random, blocks):
        assert check_split(recording) == ()
        tiers = {(video, tier) for video, tier in zip(shown, recording.tiers, strict=True)}
        assert len(tiers) == len(set(shown)) and len(set(recording.tiers)) == 3


def test_an_explicit_split_that_leaks_is_refused(tmp_path):
    movie = np.concatenate([MOVIE[:300], MOVIE[:300]])
    with pytest.raises(ValueError, match="leave tiers and train_frames out to split by content"):
        import_arrays(tmp_path / "r", movie=movie, responses=COUNTS, train_frames=400, trial_frames=100, **SCALE)
    assert list(tmp_path.iterdir()) == []


def test_large_mapped_input_is_read_in_pieces(tmp_path):
    file = np.lib.format.open_memmap(tmp_path / "m.npy", "w+", np.uint8, (6000, 72, 72))
    for t in range(0, 6000, 300):
        file[t : t + 300] = 255 * RNG.integers(0, 2, (300, 72, 72))
    del file
    recording = import_arrays(
        tmp_path / "r",
        movie=tmp_path / "m.npy",
        responses=RNG.poisson(1.0, (6000, 5)),
        frame_size=(18, 18),
        train_frames=4800,
        **SCALE,
    )
    assert recording.tiers == ("train",) * 14 + ("oracle",) * 2 + ("live_test_main",) * 4
    assert recording.frame_size == (18, 18)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"responses": COUNTS[:, :599]}, r"responses: expected 600 frames as the movie has, got \(9, 599\)"),
        ({"responses": np.zeros((600, 600))}, r"name it \(response_axes\)"),
        ({"response_axes": "ct"}, "expected axes 'nt' or 'tn'"),
        ({"movie": MOVIE[0]}, r"movie: expected 3 axes \(thw\)"),
        ({"axes": "thx"}, "expected the letters t, h, w"),
        ({"movie": MOVIE - 300.0}, "set movie_range"),
        ({"movie": MOVIE / 255.0 - 0.5}, "set movie_range"),
        ({"movie": np.where(MOVIE > 250, np.nan, MOVIE)}, "movie: expected finite values"),
        ({"movie_range": (0, 200)}, "expected values in 0–200"),
        ({"movie_range": (1, 0)}, "black < white"),
        ({"behavior": np.zeros((3, 600)), "pupil_center": np.zeros((2, 600))}, "behavior: expected 2 channels"),
        ({"behavior": np.zeros((2, 500)), "pupil_center": np.zeros((2, 600))}, "behavior: expected 600 frames"),
        ({"unit_ids": np.arange(8)}, r"unit_ids: expected shape \(9,\)"),
        ({"trial_frames": 301}, "trial_frames: expected 1–300"),
        ({"train_frames": 600}, "train_frames: expected 1–599"),
        ({"train_frames": 100}, "at least two training trials"),
        ({"movie": "nowhere.npy"}, "nowhere.npy: expected an array file, got none"),
        ({"packed": (12, 18)}, "expected 2 axes"),
        ({"validation": 0.6, "test": 0.5}, "sum below 1"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(tmp_path, change, match):
    arguments = {"movie": MOVIE, "responses": COUNTS, "trial_frames": 100} | SCALE | change
    with pytest.raises(ValueError, match=match):
        import_arrays(tmp_path / "r", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_refused(tmp_path):
    np.savez(tmp_path / "two.npz", a=MOVIE, b=MOVIE)
    (tmp_path / "broken.h5").write_bytes(b"no")
    (tmp_path / "broken.npy.gz").write_bytes(b"no")
    (tmp_path / "broken.mat").write_bytes(b"MATLAB 5.0 MAT-file, cut short")
    for name in ("movie.avi", "movie.tif"):
        (tmp_path / name).write_bytes(b"no")
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file["stimulus/movie"] = MOVIE
    cases = {
        "two.npz": r"expected FILE:NAME with one of \['a', 'b'\]",
        "two.npz:c": "got c",
        "broken.h5": "expected an HDF5 file",
        "broken.mat": "expected a whole MATLAB file",
        "broken.npy.gz": "expected complete numpy arrays",
        "movie.avi": "expected a video that FFmpeg reads as .avi",
        "movie.tif": r"expected \.npy, .* got \.tif",
        "group.h5:stimulus": "got the group 'stimulus'",
    }
    for name, match in cases.items():
        with pytest.raises(ValueError, match=match):
            import_arrays(tmp_path / "r", movie=f"{tmp_path}/{name}", responses=COUNTS, **SCALE)


def test_an_existing_recording_is_not_touched(tmp_path):
    import_arrays(tmp_path / "r", movie=MOVIE, responses=COUNTS, trial_frames=100, **SCALE)
    before = open_recording(tmp_path / "r").fingerprint()
    with pytest.raises(ValueError, match="overwrite"):
        import_arrays(tmp_path / "r", movie=MOVIE, responses=COUNTS, trial_frames=60, **SCALE)
    assert open_recording(tmp_path / "r").fingerprint() == before
    import_arrays(tmp_path / "r", movie=MOVIE, responses=COUNTS, trial_frames=60, overwrite=True, **SCALE)
    assert open_recording(tmp_path / "r").fingerprint() != before
