"""Training: learns a linear–nonlinear population, resumes exactly, scores as NumPy does, finds receptive fields."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.encoders.base import Spec
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.encoders.core_readout.prepare import prepare, receptive_fields, response_statistics
from recon.encoders.judge import Judge, JudgeSettings
from recon.encoders.linear import Linear
from recon.encoders.training import fit as training_module
from recon.encoders.training import loop as learning_module
from recon.encoders.training.clips import TrainingClip, draw_chunks, evaluate
from recon.encoders.training.fit import TrainingSettings, poisson_loss, train
from recon.encoders.training.state import read_parts
from recon.errors import InputError

NEURONS, FRAME = 12, (12, 16)
SETTINGS = TrainingSettings(
    steps=120, batch=4, frames=40, learning_rate=1e-2, warmup=10, validate_every=30, warmup_frames=10, average=0.9
)


def population() -> tuple[Linear, Tensor]:
    """ON cells with Gaussian receptive fields at random centres `[N,2]` (x, y), delayed by one frame."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.rand(NEURONS, 2, generator=generator) * 1.2 - 0.6
    y, x = torch.meshgrid(torch.linspace(-1, 1, FRAME[0]), torch.linspace(-1, 1, FRAME[1]), indexing="ij")
    distance = (x - centres[:, 0, None, None]) ** 2 + (y - centres[:, 1, None, None]) ** 2
    space = torch.exp(-distance / (2 * 0.2**2))
    weights = torch.zeros(NEURONS, 1, 3, *FRAME)
    weights[:, 0, 1] = space / space.sum((1, 2), keepdim=True)
    return Linear(24 * weights, torch.full((NEURONS,), -12.0), link="softplus"), centres


def recording(count: int, *, seed: int, noisy: bool = True) -> list[TrainingClip]:
    """Clips of smooth noise with Poisson responses and irrelevant behavior."""
    encoder, _ = population()
    generator = torch.Generator().manual_seed(seed)
    clips = []
    for _ in range(count):
        coarse = torch.rand(1, 1, 30, 4, 5, generator=generator)
        movie = torch.nn.functional.interpolate(coarse, (120, *FRAME), mode="trilinear").clamp(0, 1)
        with torch.no_grad():
            rates = 2 * encoder(movie)[0]
        responses = torch.poisson(rates, generator=generator) if noisy else rates
        clips.append(TrainingClip(movie[0], responses, torch.randn(4, 120, generator=generator)))
    return clips


def model() -> CoreReadout:
    settings = CoreReadoutSettings(CoreSettings(lags=4, temporal=3, features=8, hidden=8, block=2), mean=0.5, std=0.2)
    return CoreReadout(Spec(FRAME, tuple(range(NEURONS)), behavior=("running_speed",)), settings)


def judge() -> Judge:
    settings = JudgeSettings(lags=4, filters=8, block=2, width=5, units=8, mean=0.5, std=0.2)
    return Judge(Spec(FRAME, tuple(range(NEURONS)), behavior=("running_speed",)), settings)


@pytest.mark.parametrize("make", [model, judge])
def test_training_learns_a_population(make: type[CoreReadout] | type[Judge]) -> None:
    encoder = make()
    fresh, held_out = recording(8, seed=0), recording(4, seed=1)
    ceiling = float(evaluate(_true(), held_out, warmup=10).mean())
    outcome = train(encoder, fresh, held_out, SETTINGS)
    assert outcome.score > 0.5 * ceiling > 0.2
    assert outcome.score == pytest.approx(float(evaluate(encoder, held_out, warmup=10).mean()), abs=1e-5)
    assert float(evaluate(encoder, recording(4, seed=1, noisy=False), warmup=10).mean()) > outcome.score
    assert not encoder.training


def _true() -> Linear:
    return population()[0]


def interrupt(monkeypatch: pytest.MonkeyPatch, *, step: int) -> None:
    """Interrupt the next training before step `step`; its state is saved after every step."""
    monkeypatch.setattr(learning_module, "SAVE_SECONDS", 0.0)
    genuine, calls = training_module.loss_of, []

    def until(*given: object) -> Tensor:
        calls.append(given)
        if len(calls) == step:
            raise KeyboardInterrupt
        return genuine(*given)

    monkeypatch.setattr(training_module, "loss_of", until)


def test_resuming_equals_an_uninterrupted_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, steps=12, validate_every=4)
    clips, held_out, path = recording(3, seed=0), recording(2, seed=1), tmp_path / "state"
    whole = model()
    expected = train(whole, clips, held_out, settings)
    interrupt(monkeypatch, step=8)
    with pytest.raises(KeyboardInterrupt):
        train(model(), clips, held_out, settings, checkpoint=path)
    assert path.is_file()
    resumed = model()
    outcome = train(resumed, clips, held_out, settings, checkpoint=path)
    assert (outcome.score, outcome.best_step, outcome.steps) == (expected.score, expected.best_step, expected.steps)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_killed_training_leaves_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, path = replace(SETTINGS, steps=12, validate_every=4), tmp_path / "state"
    clips, held_out = recording(3, seed=0), recording(2, seed=1)
    interrupt(monkeypatch, step=6)
    with pytest.raises(KeyboardInterrupt):
        train(model(), clips, held_out, settings, checkpoint=path)
    _, (_, _, step, _) = read_parts(path)
    assert step == 5


def test_a_state_of_another_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, path = recording(2, seed=0), tmp_path / "state"
    interrupt(monkeypatch, step=2)
    with pytest.raises(KeyboardInterrupt):
        train(judge(), clips, clips, SETTINGS, checkpoint=path)
    with pytest.raises(ValueError, match="delete it to start again"):
        train(model(), clips, clips, SETTINGS, checkpoint=path)


def test_training_stops_early_and_writes_its_log(tmp_path: Path) -> None:
    clips = recording(2, seed=0)
    settings = replace(SETTINGS, steps=60, validate_every=2, patience=2, learning_rate=0.0, average=0.0)
    outcome = train(model(), clips, clips, settings, log=tmp_path)
    assert outcome.steps == 6
    assert outcome.best_step == 2
    assert list(tmp_path.iterdir())


def test_training_leaves_the_global_generator_alone() -> None:
    clips, state = recording(2, seed=0), torch.get_rng_state()
    train(model(), clips, clips, replace(SETTINGS, steps=2))
    assert torch.equal(torch.get_rng_state(), state)


def test_correlation_over_concatenated_frames_is_numpys() -> None:
    encoder, clips = model(), recording(3, seed=5)
    encoder.initialise(torch.Generator().manual_seed(0))
    encoder.eval()
    rates = torch.cat([encoder(c.movie[None], c.behavior[None])[0, :, 20:] for c in clips], 1).detach().numpy()
    responses = torch.cat([c.responses[:, 20:] for c in clips], 1).numpy()
    expected = [np.corrcoef(rates[n], responses[n])[0, 1] for n in range(NEURONS)]
    np.testing.assert_allclose(evaluate(encoder, clips, warmup=20), expected, atol=1e-5)
    silent = [TrainingClip(c.movie, torch.zeros_like(c.responses), c.behavior) for c in clips]
    assert evaluate(encoder, silent, warmup=20).isnan().all()


def test_poisson_loss_is_least_at_the_responses() -> None:
    responses, scale = torch.rand(2, 3, 5) + 0.1, torch.tensor([1.0, 2.0, 5.0])
    least = poisson_loss(responses, responses, scale)
    assert poisson_loss(responses * 1.1, responses, scale) > least
    assert poisson_loss(responses * 0.9, responses, scale) > least


def test_chunks_are_pieces_of_clips() -> None:
    clips = [
        TrainingClip(torch.full((1, 9 + i, 2, 2), float(i)), torch.arange(9.0 + i)[None] + 100 * i) for i in range(3)
    ]
    movie, responses, behavior = draw_chunks(clips, torch.Generator().manual_seed(0), batch=20, frames=6)
    assert movie.shape == (20, 1, 6, 2, 2)
    assert behavior is None
    assert torch.equal(responses[:, 0, 0] // 100, movie[:, 0, 0, 0, 0])
    assert torch.equal(responses.diff(dim=2), torch.ones(20, 1, 5))
    short, _, _ = draw_chunks(clips[:1], torch.Generator().manual_seed(0), batch=1, frames=50)
    assert short.shape[2] == 9


def test_receptive_fields_are_found_where_they_are() -> None:
    _, centres = population()
    found = receptive_fields(recording(8, seed=0))
    distance = (found - centres).norm(dim=1)
    assert float(distance.median()) < 0.35


def test_preparation_sets_scales_levels_and_positions() -> None:
    encoder, clips = model(), recording(3, seed=0)
    encoder.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoder.readout.features.zero_()
    prepare(encoder, clips)
    std, mean = response_statistics(clips)
    responses = torch.cat([clip.responses for clip in clips], 1)
    torch.testing.assert_close(std, responses.std(1, correction=0))
    rates = encoder.eval()(clips[0].movie[None], clips[0].behavior[None])[0]
    torch.testing.assert_close(rates, mean[:, None].expand_as(rates), rtol=0.05, atol=0.02)
    assert encoder.gain is not None
    behavior = torch.cat([clip.behavior[1] for clip in clips if clip.behavior is not None])
    assert float(encoder.gain.mean) == pytest.approx(float(behavior.mean()), abs=1e-5)


def test_a_silent_neuron_keeps_a_positive_scale() -> None:
    clip = TrainingClip(torch.rand(1, 20, 4, 4), torch.cat([torch.zeros(1, 20), torch.rand(1, 20)]))
    std, _ = response_statistics([clip])
    assert 0 < float(std[0]) < float(std[1])
    assert math.isfinite(float(std[0]))


def behaving(count: int, *, seed: int) -> list[TrainingClip]:
    """The clips of `recording` of an animal that runs in every other one, and responds twenty times as much there."""
    generator = torch.Generator().manual_seed(seed)
    clips = []
    for number, clip in enumerate(recording(count, seed=seed, noisy=False)):
        rates = clip.responses * (2.0 if number % 2 else 0.1)
        clips.append(
            TrainingClip(
                clip.movie, torch.poisson(rates, generator=generator), torch.full((4, 120), 10.0 * (number % 2))
            )
        )
    return clips


@torch.no_grad()
def misfit(encoder: CoreReadout, clips: list[TrainingClip]) -> float:
    """Return the mean Poisson misfit of an encoder that is not told the behavior."""
    losses = [poisson_loss(encoder(clip.movie[None]), clip.responses[None], encoder.scale) for clip in clips]
    return float(torch.stack(losses).mean())


def test_an_encoder_trained_with_dropout_of_behavior_does_without_and_another_refuses() -> None:
    """Without behavior its rates are those at the mean, and nearer the responses than those of one trained without."""
    clips, held_out = behaving(8, seed=1), behaving(4, seed=2)
    usual, dropped = model(), model()
    train(usual, clips, held_out, SETTINGS)
    train(dropped, clips, held_out, replace(SETTINGS, behavior_dropout=0.5))
    assert dropped.spec.behavior_means == (5.0,) and not usual.spec.behavior_means
    assert "running_speed (optional)" in repr(dropped) and "optional" not in repr(usual)

    movie, state = held_out[0].movie[None], torch.full((1, 4, 120), 10.0)
    holed = state.index_fill(2, torch.arange(9), torch.nan)
    with pytest.raises(
        InputError, match=r"expected the channels running_speed, got none; .*training\.behavior_dropout"
    ):
        usual(movie)
    with pytest.raises(InputError, match=r"expected the channels running_speed, got NaN in some frames"):
        usual(movie, holed)
    assert torch.equal(dropped(movie), dropped(movie, torch.full((1, 4, 120), 5.0)))
    assert torch.equal(dropped(movie, holed)[..., :9], dropped(movie)[..., :9])
    torch.testing.assert_close(dropped(movie, holed)[..., 9:], dropped(movie, state)[..., 9:])

    usual.spec = replace(usual.spec, behavior_means=(5.0,))
    assert misfit(dropped, held_out) < misfit(usual, held_out) - 0.01


def test_without_dropout_the_weights_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option draws nothing when it is off, and behavior without gaps passes unchanged."""
    clips, held_out = recording(4, seed=1), recording(2, seed=2)
    few = replace(SETTINGS, steps=6)
    first, second = model(), model()
    train(first, clips, held_out, few)
    monkeypatch.setattr(training_module, "without_some", None)
    train(second, clips, held_out, replace(few, behavior_dropout=0.0))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
