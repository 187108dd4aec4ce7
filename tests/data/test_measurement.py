"""Measurements: sets applied, bins averaged, and acquisition samples recovered exactly from interpolated files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.data.measurement import (
    acquisition_operator,
    binning,
    interpolation_matrix,
    measurement,
    overlap_matrix,
    repeats_of,
    uniform_operator,
)
from recon.data.neuron_sets import neuron_sets
from recon.data.open import open_recording
from recon.data.writer import RecordingWriter
from recon.simulate.acquisition import acquire
from recon.types import AcquisitionTimes

TIMES = AcquisitionTimes(8.0, (0.0, 0.031, 0.0625, 0.11), (0, 1, 2, 3, 1, 0))


def _interpolated(rates, times, frame_rate=30.0):
    """Files as a microscope leaves them: rates `(N,T)` averaged over sample intervals, interpolated to frames."""
    frames = rates.shape[1]
    files, samples = np.zeros_like(rates), []
    edges = np.concatenate([np.zeros((len(rates), 1)), np.cumsum(rates, 1)], 1) / frame_rate
    grid = np.arange(frames + 1) / frame_rate
    for neuron, plane in enumerate(times.plane):
        k = np.arange(0, int((frames / frame_rate - times.phase[plane]) * times.rate) + 2)
        ends = times.phase[plane] + k / times.rate
        integral = np.interp(ends, grid, edges[neuron]) - np.interp(ends - 1 / times.rate, grid, edges[neuron])
        samples.append((ends, integral * times.rate))
        files[neuron] = np.interp(np.arange(frames) / frame_rate, ends, integral * times.rate)
    return files, samples


@pytest.mark.parametrize("frames", [300, 97, 30])
@pytest.mark.parametrize("rate", [8.0, 6.3, 7.5])
def test_acquisition_recovers_every_determined_sample_exactly(frames, rate):
    times = AcquisitionTimes(rate, TIMES.phase, TIMES.plane)
    rates = np.random.default_rng(0).gamma(1.0, 2.0, (6, frames))
    files, samples = _interpolated(rates, times)
    operator = acquisition_operator(times, frames=frames, frame_rate=30.0)
    mask = operator.bin_mask(torch.ones(1, frames, dtype=torch.bool))[0]
    responses = operator.bin_responses(torch.tensor(files, dtype=torch.float32)[None])[0]
    predicted = operator.bin_rates(torch.tensor(rates, dtype=torch.float32)[None])[0]
    torch.testing.assert_close(responses[mask], predicted[mask], rtol=1e-3, atol=1e-3)
    for neuron, (ends, values) in enumerate(samples):
        inside = (ends >= 1 / rate - 1e-9) & (ends <= frames / 30.0 + 1e-9)
        count = int(mask[neuron].sum())
        assert inside.sum() - 1 <= count <= inside.sum()
        np.testing.assert_allclose(responses[neuron][mask[neuron]], values[inside][:count], rtol=1e-3, atol=1e-3)


def test_the_simulated_microscope_is_undone_exactly():
    activity = torch.rand(1, 6, 90, generator=torch.Generator().manual_seed(0))
    operator = acquisition_operator(TIMES, frames=90, frame_rate=30.0)
    mask = operator.bin_mask(torch.ones(1, 90, dtype=torch.bool))
    recovered, expected = operator.bin_responses(acquire(activity, TIMES)), operator.bin_rates(activity)
    assert mask.sum() >= 6 * 22
    torch.testing.assert_close(recovered[mask], expected[mask], rtol=1e-3, atol=1e-3)


def test_planes_with_fewer_samples_end_in_masked_rows():
    operator = acquisition_operator(TIMES, frames=61, frame_rate=30.0)
    counts = (operator.rates_operator.sum(-1) > 0.999).sum(-1)
    assert counts.min() < counts.max() == operator.rates_operator.shape[1]
    mask = operator.bin_mask(torch.ones(2, 61, dtype=torch.bool))
    assert mask.shape == (2, 6, int(counts.max()))
    torch.testing.assert_close(mask[0].sum(-1), counts[operator.plane])


def test_masked_frames_mask_the_bins_that_touch_them():
    operator = acquisition_operator(TIMES, frames=90, frame_rate=30.0)
    frames = torch.ones(1, 90, dtype=torch.bool)
    frames[:, :30] = False
    starts = (operator.rates_operator != 0).float().argmax(-1)
    mask = operator.bin_mask(frames)[0]
    assert mask.any() and (starts[operator.plane][mask] >= 30).all()


def test_overlaps_are_exact_and_interpolation_is_numpys():
    matrix = overlap_matrix(np.array([0.125, 0.25]), length=0.125, frames=10, frame_rate=30.0)
    np.testing.assert_allclose(matrix.sum(1), 1.0)
    np.testing.assert_allclose(matrix[0, :4], [8 / 30, 8 / 30, 8 / 30, 1 - 24 / 30], atol=1e-12)
    samples, queries = np.array([0.1, 0.3, 0.55]), np.array([0.1, 0.2, 0.5, 0.55])
    values = np.array([3.0, -1.0, 4.0])
    np.testing.assert_allclose(interpolation_matrix(samples, queries) @ values, np.interp(queries, samples, values))


def test_acquisition_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="phase for plane 3"):
        acquisition_operator(AcquisitionTimes(8.0, (0.0,), (0, 3)), frames=60, frame_rate=30.0)
    with pytest.raises(ValueError, match=r"0\.25 s of frames"):
        acquisition_operator(TIMES, frames=2, frame_rate=30.0)


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (2, 40, 6, 8), dtype=np.uint8)
    with RecordingWriter(tmp_path / "w", unit_ids=range(6), acquisition=TIMES) as writer:
        for i in range(4):
            writer.write_trial(
                i,
                tier="train" if i < 2 else "oracle",
                video=video[i % 2],
                responses=rng.gamma(1, 2, (6, 40)),
                behavior=rng.random((2, 40)),
                pupil_center=rng.random((2, 40)),
            )
        writer.write_trial(4, tier="final_test_main", video=video[0])
    return open_recording(tmp_path / "w")


def test_report_neurons_never_leave(recording):
    sets = neuron_sets(recording.unit_ids)
    movie, measured = measurement(recording, [2, 3], sets)
    assert movie.shape == (2, 1, 40, 6, 8) and measured.acquisition is None
    assert measured.responses[:, sets["report"]].abs().max() == 0
    torch.testing.assert_close(measured.responses[1, sets["fit"]], recording.trial(3).responses[sets["fit"]])
    assert torch.equal(measured.neurons, sets["fit"]) and torch.equal(measured.selection, sets["selection"])
    assert measured.frames.all() and measured.frames.shape == (2, 40) and measured.behavior.shape == (2, 4, 40)


def test_uniform_bins_average_rates_and_responses(recording):
    _, measured = measurement(recording, [0], neuron_sets(recording.unit_ids), bins=3)
    operator = measured.acquisition
    binned = operator.bin_responses(measured.responses)
    torch.testing.assert_close(binned, measured.responses[..., :39].unflatten(-1, (13, 3)).mean(-1))
    torch.testing.assert_close(operator.bin_rates(measured.responses), binned)
    assert operator.bin_mask(measured.frames).all() and binned.shape == (1, 6, 13)


def test_acquisition_bins_come_from_the_recording(recording):
    operator = binning(recording, frames=40, bins="acquisition")
    expected = acquisition_operator(TIMES, frames=40, frame_rate=30.0)
    assert torch.equal(operator.rates_operator, expected.rates_operator)
    assert uniform_operator(4, frames=40, neurons=6).rates_operator.shape == (1, 10, 40)


def test_repeats(recording):
    assert repeats_of(recording, 0) == (0, 2, 4) and repeats_of(recording, 3) == (1, 3)


def test_bad_requests(recording, published):
    sets = neuron_sets(recording.unit_ids)
    with pytest.raises(ValueError, match="withheld"):
        measurement(recording, [4], sets)
    with pytest.raises(ValueError, match="expected 1 to 40 frames"):
        measurement(recording, [0], sets, bins=0)
    with pytest.raises(ValueError, match="mask 'fit' of 6 neurons"):
        measurement(recording, [0], neuron_sets(range(7)))
    with pytest.raises(ValueError, match="exactly one set"):
        measurement(recording, [0], {**sets, "report": sets["fit"]})
    with pytest.raises(ValueError, match="expected acquisition times"):
        binning(open_recording(published()), frames=40, bins="acquisition")
