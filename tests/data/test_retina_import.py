"""Import of a recorded retina as its publishers packed it."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from recon.data.duplicates.find import check_split
from recon.data.formats.arrays_import import import_arrays


@pytest.mark.real
def test_recorded_retina_is_imported_as_it_lies_there(real_data, tmp_path):
    folder = real_data / "liu2017_salamander_rgc"
    bits = np.load(folder / "stim_bits_x69-141_y39-111.npy", mmap_mode="r")
    np.save(tmp_path / "bits.npy", bits[27000:33000])
    with gzip.open(folder / "spike_counts_177x36000.npy.gz") as stream:
        counts = np.load(stream)[:, 27000:33000]
    recording = import_arrays(
        tmp_path / "retina",
        movie=tmp_path / "bits.npy",
        packed=(72, 72),
        axes="twh",
        responses=counts,
        train_frames=3000,
        frame_size=(9, 9),
        frame_rate=30.0,
        degrees_per_pixel=1.0,
    )
    assert recording.tiers == ("train",) * 9 + ("oracle",) + ("live_test_main",) * 10
    assert len(recording.unit_ids) == 177
    trial, first = recording.trial(12), np.unpackbits(bits[27000 + 3600]).reshape(72, 72).T
    np.testing.assert_allclose(trial.movie[0, 0], first.reshape(9, 8, 9, 8).mean((1, 3)), atol=0.003)
    np.testing.assert_array_equal(trial.responses.numpy(), counts[:, 3600:3900])
    assert check_split(recording) == ()
