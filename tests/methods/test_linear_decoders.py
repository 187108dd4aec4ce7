"""Linear decoders against the closed form, and the library decoder against its definition."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds

from recon.encoders.base import freeze
from recon.encoders.linear import Linear
from recon.methods import FieldSum, Gradient, Library, OptimalLinear, Ridge
from recon.methods.artefacts import learning_seconds, save_artefact
from recon.methods.linear.encoder_gradients import calibrated, linear_model
from recon.methods.linear.lags import Lags
from recon.methods.linear.regression import regressed
from recon.methods.neural.library import log_likelihood, pieces_of, window_starts
from recon.methods.optimise.lbfgs import Lbfgs
from recon.priors.spectrum import inverse_cosine_transform
from recon.problem.problem import Observation, Problem
from recon.types import Measurement

PIXELS = worlds.HEIGHT * worlds.WIDTH
SAME_FRAME = Lags(0, 0, 1)


def unit_gaussian(rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
    return (0.5 * (rates - responses) ** 2 * mask).flatten(1).sum(1)


class GaussianWorld:
    """Frames that are white in time, with a spectrum in space; rates linear in the frame; noise of variance 1.

    In the training trials the sample covariances are exactly those of the world, so what is learnt has no error.
    """

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        power = worlds.spectrum().power[0]
        self.power = power * (0.01 / power.mean())
        self.mean = torch.full((worlds.HEIGHT, worlds.WIDTH), 0.5)
        weights = 2 * torch.randn(worlds.NEURONS, 1, 1, worlds.HEIGHT, worlds.WIDTH, generator=generator)
        self.encoder = freeze(Linear(weights, torch.rand(worlds.NEURONS, generator=generator)))
        self.recording = worlds.TinyRecording(20)
        drawn = torch.randn(480, PIXELS + worlds.NEURONS, generator=generator, dtype=torch.float64)
        exact = torch.linalg.qr(drawn - drawn.mean(0))[0] * 480**0.5
        white, noise = exact.float().split([PIXELS, worlds.NEURONS], 1)
        self.recording.movies = self.movie(white.reshape(20, 1, 24, worlds.HEIGHT, worlds.WIDTH))
        clean = self.encoder(self.recording.movies)
        self.recording.responses = clean + noise.reshape(20, 24, -1).transpose(1, 2)

    def movie(self, white: Tensor) -> Tensor:
        """Return movies `[B,1,T,H,W]` from white noise, frame by frame."""
        frames = white.reshape(-1, 1, worlds.HEIGHT, worlds.WIDTH)
        return (self.mean + inverse_cosine_transform(self.power.sqrt() * frames)).reshape(white.shape)

    def problem(self) -> Problem:
        generator = torch.Generator().manual_seed(8)
        truth = self.movie(torch.randn(2, 1, worlds.FRAMES, worlds.HEIGHT, worlds.WIDTH, generator=generator))
        rates = self.encoder(truth)
        fit, selection = worlds.sets()
        counted = torch.ones(2, worlds.FRAMES, dtype=torch.bool)
        responses = rates + torch.randn(rates.shape, generator=generator)
        return Problem(
            unit_gaussian, (Observation(self.encoder, Measurement(responses, None, fit, selection, counted)),)
        )

    def posterior_mean(self, problem: Problem) -> Tensor:
        """s = m + S Aᵀ (A S Aᵀ + I)⁻¹ (y − A m − b), frame by frame."""
        fit, _ = worlds.sets()
        basis = inverse_cosine_transform(torch.eye(PIXELS).reshape(PIXELS, 1, worlds.HEIGHT, worlds.WIDTH)).flatten(1)
        prior = basis.T @ torch.diag(self.power.flatten()) @ basis
        weights = self.encoder.weights.flatten(1)[fit]
        gain = prior @ weights.T @ torch.linalg.inv(weights @ prior @ weights.T + torch.eye(len(weights)))
        offset = weights @ self.mean.flatten() + self.encoder.bias[fit]
        seen = problem.observations[0].measurement.responses[:, fit] - offset[:, None]
        return self.mean + (gain @ seen).transpose(1, 2).reshape(problem.shape)

    def training(self, folder: Path):
        return replace(worlds.training(folder, self.recording), encoders=(self.encoder,))


@pytest.fixture(scope="module")
def gaussian() -> GaussianWorld:
    return GaussianWorld()


def from_spectrum(world: GaussianWorld, folder: Path) -> Gradient:
    power = world.power.expand(worlds.FRAMES, -1, -1).contiguous()
    save_artefact({"power": power, "mean": world.mean}, folder / "spectrum.safetensors")
    return Gradient(200, "spectrum", Lbfgs(), prior=1.0, artefact=folder / "spectrum.safetensors")


@pytest.mark.parametrize("name", ["ridge", "optimal linear", "map"])
def test_linear_decoders_and_map_are_the_closed_form(name: str, gaussian: GaussianWorld, tmp_path: Path) -> None:
    training, problem = gaussian.training(tmp_path), gaussian.problem()
    method = {
        "ridge": lambda: Ridge(lags=SAME_FRAME, penalties=(0.0,), root=False).fit(training),
        "optimal linear": lambda: OptimalLinear(lags=SAME_FRAME, samples=1).fit(training),
        "map": lambda: from_spectrum(gaussian, tmp_path),
    }[name]()
    *_, last = method(problem, torch.Generator())
    expected = gaussian.posterior_mean(problem)
    assert float(expected.min()) > 0 and float(expected.max()) < 1
    assert float((last.movie - expected).abs().max()) < 1e-3 * float(expected.std())


def test_the_linear_model_of_a_linear_encoder_is_the_encoder(tmp_path: Path) -> None:
    encoder, recording = worlds.encoder(link="identity"), worlds.TinyRecording(8)
    recording.responses = encoder(recording.movies)
    training = replace(worlds.training(tmp_path, recording), encoders=(encoder,))
    model, fit = linear_model(training, samples=2), worlds.sets()[0]
    expected = encoder.weights[fit].flip(2).squeeze(1).flatten(2)
    assert torch.allclose(model.fields, expected, rtol=0.02, atol=1e-3)
    predicted = model.predict(recording.movies[0, 0].flatten(1))
    assert torch.allclose(predicted[:, 2:], recording.responses[0, fit, 2:], atol=0.05)


def test_calibration_finds_gain_offset_and_noise(tmp_path: Path) -> None:
    recording, fit = worlds.TinyRecording(40, 48), worlds.sets()[0]
    encoder = worlds.encoder(link="identity")
    noise = torch.randn(recording.responses.shape, generator=torch.Generator().manual_seed(1))
    clean = encoder(recording.movies)
    recording.responses = clean + noise
    training = replace(worlds.training(tmp_path, recording), encoders=(encoder,))
    model = linear_model(training, samples=1)
    tripled = calibrated(replace(model, fields=3 * model.fields), training)
    assert torch.allclose(tripled.fields, model.fields, rtol=1e-4)
    assert torch.allclose(model.variance, torch.ones(int(fit.sum())), atol=0.15)


def test_fields_beat_nothing_and_their_overlap_counts(tmp_path: Path) -> None:
    truth, problem = worlds.movies(4, seed=5), worlds.problem(4)
    training, errors = worlds.training(tmp_path, worlds.TinyRecording(60)), {}
    for method in (FieldSum(lags=Lags(0, 3, 4)), OptimalLinear(lags=Lags(0, 3, 4))):
        (last,) = method.fit(training)(problem, torch.Generator())
        errors[type(method)] = float(((last.movie - truth) ** 2).mean())
    assert errors[OptimalLinear] < errors[FieldSum] < float(((truth - 0.5) ** 2).mean())


def test_what_was_learnt_says_how_long_it_took(tmp_path: Path) -> None:
    begun = time.monotonic()
    ready = FieldSum(lags=SAME_FRAME, samples=1).fit(worlds.training(tmp_path))
    assert 0 < learning_seconds(ready.artefact) <= time.monotonic() - begun


def test_the_library_finds_the_movie_that_it_contains(tmp_path: Path) -> None:
    recording, training = worlds.TinyRecording(), worlds.training(tmp_path)
    method, shown = Library(window=6, stride=1, best=1).fit(training), recording.movies[3:4, :, 5 : 5 + worlds.FRAMES]
    fit, selection = worlds.sets()
    rates = worlds.encoder()(recording.movies)[3:4, :, 5 : 5 + worlds.FRAMES]
    measured = Measurement(rates, None, fit, selection, torch.ones(1, worlds.FRAMES, dtype=torch.bool))
    (last,) = method(Problem(unit_gaussian, (Observation(worlds.encoder(), measured),)), torch.Generator())
    assert float((last.movie - shown).abs().max()) < 1 / 255


def test_the_librarys_likelihood_is_poissons() -> None:
    generator = torch.Generator().manual_seed(0)
    rates, responses = torch.rand(3, 20, generator=generator) + 0.5, torch.rand(3, 9, generator=generator)
    places, starts = pieces_of(torch.tensor([12, 8]), 4, 3), window_starts(9, 4, 2)
    scores = log_likelihood((rates.log(), rates.sum(0)), responses, places, starts, window=4)
    for k, place in enumerate(places.tolist()):
        for w, start in enumerate(starts.tolist()):
            r, y = rates[:, place : place + 4], responses[:, start : start + 4]
            assert float(scores[k, w]) == pytest.approx(float((y * r.log() - r).sum()), abs=1e-4)


def test_a_library_of_short_trials_says_what_to_do(tmp_path: Path) -> None:
    method = Library(window=worlds.FRAMES).fit(worlds.training(tmp_path, worlds.TinyRecording(3, 8)))
    with pytest.raises(ValueError, match=r"at least 12 frames, got 8; lower window"):
        next(method(worlds.problem(), torch.Generator()))


@pytest.mark.parametrize("method", [FieldSum(), OptimalLinear(), Library()])
def test_what_reads_an_encoder_needs_one(method, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the encoders of a row, got none"):
        method.fit(replace(worlds.training(tmp_path), encoders=()))


def test_banded_penalties_solve_the_banded_normal_equations() -> None:
    generator = torch.Generator().manual_seed(3)
    pairs = [(torch.randn(40, 6, generator=generator), torch.randn(40, 5, generator=generator)) for _ in range(4)]
    learnt = regressed(pairs, (0.5,), folds=2, bands=((1.0, 4.0, 9.0),))
    x, y = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    x, centred = x - x.mean(0), y - y.mean(0)
    penalty = 0.5 * torch.tensor([1.0, 4.0, 9.0, 1.0, 4.0, 9.0])
    expected = torch.linalg.solve(x.T @ x / len(x) + torch.diag(penalty), x.T @ centred / len(x))
    torch.testing.assert_close(learnt["weights"], expected, rtol=1e-4, atol=1e-5)


def test_cross_validation_finds_the_band_that_says_nothing() -> None:
    generator = torch.Generator().manual_seed(4)
    pairs = []
    for _ in range(6):
        x = torch.randn(30, 40, generator=generator)
        pairs.append((x, x[:, ::2] @ torch.ones(20, 3) + 2 * torch.randn(30, 3, generator=generator)))
    learnt = regressed(pairs, (0.01, 1.0), folds=3, bands=((1.0, 1.0), (1.0, 100.0), (100.0, 1.0)))
    first, second = learnt["penalty"].tolist()
    assert second == pytest.approx(100 * first)


def test_bands_of_another_number_of_bumps_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 5 factors above 0, one per bump"):
        Ridge(bands=((1.0, 2.0),))


@pytest.mark.parametrize("lag", [-2, 0, 3])
def test_a_single_lag_shifts(lag: int) -> None:
    series, weight = torch.rand(4, 9, generator=torch.Generator().manual_seed(0)), torch.tensor([[2.0], [-1.0]])
    shifted = torch.zeros_like(series)
    for frame in range(9):
        if 0 <= frame + lag < 9:
            shifted[:, frame] = series[:, frame + lag]
    for stride in (1, 2):
        found = Lags(lag, lag, 1).filtered(series, weight, stride=stride)
        assert torch.allclose(found, weight * shifted[:, None, ::stride])
