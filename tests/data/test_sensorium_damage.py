"""The lazy reader against damage: gaps, other lengths, cut off and pickled files, each named."""

from __future__ import annotations

import numpy as np
import pytest
from worlds.published import edit

from recon.data.layout import MASKED
from recon.data.open import open_recording


@pytest.mark.parametrize(
    "variable, value",
    [("videos", np.nan), ("responses", np.nan), *((name, np.inf) for name in ("videos", "responses", *MASKED))],
)
def test_gaps_inside_valid_frames_name_file_and_frame(published, variable, value):
    root = published()

    def spoil(array):
        array[..., 11] = value
        return array

    edit(root, variable, 0, spoil)
    with pytest.raises(ValueError, match=rf"{variable}.0\.npy: expected finite values in the 40 .* at frame 11; fill"):
        open_recording(root).trial(0)


@pytest.mark.parametrize("variable", ["responses", "behavior", "pupil_center", "videos"])
def test_another_length_names_the_short_file(published, variable):
    root = published(padding=0)
    edit(root, variable, 0, lambda array: array[..., :33])
    with pytest.raises(ValueError, match=rf"{variable}.0\.npy: expected 40 frames .* got 33; cut"):
        open_recording(root).trial(0)


def test_a_file_may_stop_where_the_others_are_padded(published):
    root = published(padding=5)
    edit(root, "behavior", 0, lambda array: array[..., :40])
    assert open_recording(root).trial(0).movie.shape[1] == 40


@pytest.mark.parametrize(("variable", "got"), [("responses", r"\(5, 45\)"), ("behavior", r"\(1, 45\)")])
def test_wrong_channel_counts(published, variable, got):
    root = published()
    edit(root, variable, 0, lambda array: array[: 5 if variable == "responses" else 1])
    with pytest.raises(ValueError, match=rf"{variable}.0\.npy: expected numbers of shape .* got float32 {got}"):
        open_recording(root).trial(0)


def test_truncated_files_are_named(published):
    root = published()
    for variable in ("videos", "responses"):
        file = root / f"data/{variable}/{'0' if variable == 'videos' else '1'}.npy"
        file.write_bytes(file.read_bytes()[:-100])
    recording = open_recording(root)
    assert recording.frame_size == (12, 16)
    with pytest.raises(ValueError, match=r"videos.0\.npy: expected a complete .npy .* unpack the recording again"):
        recording.trial(0)
    with pytest.raises(ValueError, match=r"responses.1\.npy: expected a complete"):
        recording.trial(1)
    (root / "data/videos/2.npy").unlink()
    with pytest.raises(ValueError, match=r"videos.2\.npy: expected an .npy file, got none"):
        recording.trial(2)


def test_pickles_are_never_opened(published):
    root = published()
    np.save(root / "data/responses/0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"expected a complete .npy file of plain numbers"):
        open_recording(root).trial(0)


def test_no_valid_frame_at_all(published):
    root = published()
    edit(root, "videos", 0, lambda array: np.full_like(array, np.nan))
    with pytest.raises(ValueError, match=r"videos.0\.npy: expected finite values in the 40 .* at frame 0"):
        open_recording(root).trial(0)


def test_metadata_of_another_length(published):
    root = published()
    np.save(root / "meta/neurons/cell_motor_coordinates.npy", np.zeros((6, 3)))
    with pytest.raises(ValueError, match=r"cell_motor_coordinates\.npy: expected the 7 neurons .* got 6"):
        open_recording(root)


def test_damaged_header(published):
    root = published()
    (root / "meta/recording.json").write_text("{")
    with pytest.raises(ValueError, match=r"recording\.json: expected JSON"):
        open_recording(root)
