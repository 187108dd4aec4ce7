"""Training loop: it learns, keeps the best weights, and resumes to identical weights."""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import summary

from recon.encoders.training.loop import (
    Learning,
    TrainingRun,
    draw_weights,
    fresh,
    learn,
    rate_factor,
    save_state,
    seconds_spent,
)
from recon.errors import InputError

TRUE = torch.tensor([[1.0, -2.0, 0.5]])


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(3, 1)


def loss(network: nn.Module, generator: torch.Generator) -> torch.Tensor:
    x = torch.randn(16, 3, generator=generator)
    return ((network(x) - x @ TRUE.T) ** 2).mean()


def error(network: nn.Module) -> float:
    return float((network.weight.detach() - TRUE).norm())


def score(network: nn.Module) -> float:
    return -error(network)


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_it_learns_and_ends_in_evaluation_mode() -> None:
    network = model()
    outcome = learn(network, loss, Learning(steps=300, learning_rate=0.03, warmup=10), generator=draws())
    assert error(network) < 0.02
    assert outcome.steps == 300 and math.isnan(outcome.score)
    assert not network.training


def test_the_weights_that_validate_best_are_kept() -> None:
    network, seen = model(), []

    def validate(averaged: nn.Module) -> float:
        seen.append(copy.deepcopy(averaged.state_dict()))
        return -abs(len(seen) - 3.0)

    outcome = learn(network, loss, Learning(steps=60, validate_every=10), generator=draws(), validate=validate)
    assert outcome.best_step == 30 and outcome.score == 0
    assert all(torch.equal(value, seen[2][name]) for name, value in network.state_dict().items())


def test_patience_ends_early() -> None:
    patient = Learning(steps=500, validate_every=10, patience=2)
    outcome = learn(model(), loss, patient, generator=draws(), validate=lambda network: 0.0)
    assert outcome.steps == 30 and outcome.best_step == 10


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", 0.0)
    settings, whole = Learning(steps=40, validate_every=7), model()
    learn(whole, loss, settings, generator=draws(), validate=score)
    calls = 0

    def interrupted(network: nn.Module, generator: torch.Generator) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 24:
            raise KeyboardInterrupt
        return loss(network, generator)

    checkpoint = tmp_path / "state.training"
    with pytest.raises(KeyboardInterrupt):
        learn(model(), interrupted, settings, generator=draws(), validate=score, checkpoint=checkpoint)
    assert seconds_spent(checkpoint) > 0
    resumed, before = model(), calls
    learn(resumed, interrupted, settings, generator=draws(), validate=score, checkpoint=checkpoint)
    assert calls - before == 40 - 23
    again, after = model(), calls
    learn(again, interrupted, settings, generator=draws(), validate=score, checkpoint=checkpoint)
    assert calls == after, "what is learnt is not lost before its weights are saved"
    for ended in (resumed, again):
        assert all(torch.equal(value, whole.state_dict()[name]) for name, value in ended.state_dict().items())


def values(network: nn.Module) -> list[Any]:
    """TensorBoard values: the error, without gradients, of fixed weights."""
    assert not network.training and not torch.is_grad_enabled()
    return [summary.scalar("error", error(network)).value[0]]


def shown(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_what_is_shown_changes_nothing(tmp_path: Path) -> None:
    settings, alone, watched = Learning(steps=20, validate_every=7), model(), model()
    learn(alone, loss, settings, generator=draws(), validate=score, show=values)
    outcome = learn(watched, loss, settings, generator=draws(), validate=score, show=values, log=tmp_path)
    assert all(torch.equal(value, watched.state_dict()[name]) for name, value in alone.state_dict().items())
    found = shown(tmp_path, "error")
    assert [step for step, _ in found] == [7, 14, 20] and dict(shown(tmp_path, "validation")).keys() == dict(
        found
    ).keys()
    assert [-value for _, value in found] == pytest.approx([score for _, score in outcome.history])


def stopped(place: Path, settings: Learning, *, after: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Interrupt a training in the step that follows `after` steps, and return the state that it leaves."""
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", -1.0)
    calls: list[None] = []

    def interrupted(network: nn.Module, generator: torch.Generator) -> torch.Tensor:
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(None)
        return loss(network, generator)

    with pytest.raises(KeyboardInterrupt):
        learn(model(), interrupted, settings, generator=draws(), validate=score, checkpoint=place)
    return place


def test_the_history_goes_on_where_a_training_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, whole = Learning(steps=20, validate_every=4), model()
    expected = learn(whole, loss, settings, generator=draws(), validate=score).history
    assert [step for step, _ in expected] == [4, 8, 12, 16, 20]
    place = stopped(tmp_path / "state.training", settings, after=9, monkeypatch=monkeypatch)
    resumed = learn(model(), loss, settings, generator=draws(), validate=score, checkpoint=place)
    assert resumed.history == expected


OTHERS: dict[str, dict[str, Any]] = {
    "learning rate": {"settings": Learning(steps=20, validate_every=4, learning_rate=0.1)},
    "seed": {"generator": torch.Generator().manual_seed(1)},
    "data": {"about": "other data"},
    "network": {"model": nn.Linear(4, 1)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_state_of_another_training_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Learning(steps=20, validate_every=4)
    place = stopped(tmp_path / "state.training", settings, after=9, monkeypatch=monkeypatch)
    chosen = {"model": model(), "loss": loss, "settings": settings, "generator": draws(), "validate": score}
    before = place.read_bytes()
    with pytest.raises(InputError, match=r"state\.training: expected the state of .*got that of other .*delete it"):
        learn(**chosen | OTHERS[name], checkpoint=place)
    assert place.read_bytes() == before


def test_a_damaged_state_is_found_wherever_it_is_harmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut off, or one bit flipped: named, set aside, and learnt again with the same weights."""
    settings, whole = Learning(steps=12, validate_every=4), model()
    learn(whole, loss, settings, generator=draws(), validate=score)
    place = stopped(tmp_path / "state.training", settings, after=9, monkeypatch=monkeypatch)
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", 60.0)
    content, drawn = place.read_bytes(), random.Random(0)
    harmed = [b"nonsense", b"", *(content[: drawn.randrange(len(content))] for _ in range(5))]
    for _ in range(60):
        at = drawn.randrange(len(content))
        harmed.append(content[:at] + bytes([content[at] ^ 1 << drawn.randrange(8)]) + content[at + 1 :])
    for damaged in harmed:
        place.write_bytes(damaged)
        assert seconds_spent(place) == 0 and f"damaged: {place}" in caplog.text
        assert (tmp_path / "state.training.damaged").read_bytes() == damaged and not place.exists()
    for damaged in harmed[:10]:
        place.write_bytes(damaged)
        again = model()
        learn(again, loss, settings, generator=draws(), validate=score, checkpoint=place)
        assert all(torch.equal(value, whole.state_dict()[name]) for name, value in again.state_dict().items())


def test_the_log_of_an_interrupted_training_has_no_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Learning(steps=40, validate_every=7)
    learn(model(), loss, settings, generator=draws(), validate=score, log=tmp_path / "whole")
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", -1.0)
    genuine, saved, place = save_state, list[int](), tmp_path / "state.training"

    def early(run: TrainingRun, path: Path) -> None:
        """Save no later than step 17, so that later steps are logged twice."""
        if run.step <= 17:
            genuine(run, path)
            saved.append(run.step)

    monkeypatch.setattr("recon.encoders.training.loop.save_state", early)
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patched:
        patched.setattr("recon.encoders.training.loop.rate_factor", interrupt_after(33))
        learn(model(), loss, settings, generator=draws(), validate=score, checkpoint=place, log=tmp_path / "cut")
    assert saved[-1] == 17
    time.sleep(1.1)  # TensorBoard orders files by the second in their names
    learn(model(), loss, settings, generator=draws(), validate=score, checkpoint=place, log=tmp_path / "cut")
    for tag in ("loss", "validation", "gradient_norm"):
        assert shown(tmp_path / "cut", tag) == shown(tmp_path / "whole", tag)


def interrupt_after(steps: int) -> Callable[[int, Learning], float]:
    """The learning rates of a training that is interrupted after so many steps."""

    def factor(step: int, settings: Learning) -> float:
        if step == steps:
            raise KeyboardInterrupt
        return rate_factor(step, settings)

    return factor


def test_settings_that_cannot_run_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        Learning(steps=0)


def test_the_learning_rate_rises_and_falls() -> None:
    settings = Learning(steps=120, warmup=10)
    factors = [rate_factor(step, settings) for step in range(120)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(max(factors[9:11]), abs=0.02)
    assert factors[-1] < 1e-3


def test_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(5)
    network = fresh(lambda: nn.Sequential(nn.Conv2d(3, 500, 3), nn.Linear(400, 70)))
    draw_weights(network, draws(), gain=2.0)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    assert float(network[0].weight.std()) == pytest.approx((2 / 27) ** 0.5, rel=0.03)
    assert float(network[1].weight.std()) == pytest.approx((2 / 400) ** 0.5, rel=0.03)
    assert not network[0].bias.any() and not network[1].bias.any()


def test_saving_takes_a_twentieth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saves = [0.0], []

    def slow_save(run: TrainingRun, path: Path) -> None:
        saves.append(run.step)
        clock[0] += 0.1

    def loss(model: nn.Module, draws: torch.Generator) -> torch.Tensor:
        clock[0] += 0.9
        return sum((value.square().sum() for value in model.parameters()), torch.zeros(()))

    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", 0.5)
    monkeypatch.setattr("recon.encoders.training.loop.save_state", slow_save)
    monkeypatch.setattr("recon.encoders.training.loop.time.monotonic", lambda: clock[0])
    learn(nn.Linear(2, 2), loss, Learning(steps=12), generator=torch.Generator(), checkpoint=tmp_path / "state")
    assert saves == [1, 4, 7, 10, 12]
