"""DwiseNeuro training as published: learning rates, sampling, CutMix, averaging; exact resume; saved file loads."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR
from worlds.dwise_training import CONFIGS, CPU, RECIPE, SETTINGS, mouse

from recon import config
from recon.encoders.dwiseneuro import train as dwise_training
from recon.encoders.dwiseneuro.blocks import Drop
from recon.encoders.dwiseneuro.sampling import (
    WindowBatch,
    WindowSampling,
    cut,
    epoch_steps,
)
from recon.encoders.dwiseneuro.train import (
    DwiseRun,
    Recipe,
    advance,
    batch_loss,
    learn,
    learning_rate,
    load_run,
    reader,
    save_run,
    start,
    train_dwise,
    update_average,
    validate,
)
from recon.train.dwiseneuro import DwiseTraining


def state(run: DwiseRun) -> dict[str, Tensor]:
    return {
        f"{part}/{name}": value
        for part, network in (("learner", run.network), ("averaged", run.averaged))
        for name, value in network.state_dict().items()
    }


def assert_equal(found: DwiseRun, expected: DwiseRun) -> None:
    for name, value in state(expected).items():
        assert torch.equal(state(found)[name], value), name


def test_the_learning_rate_is_the_published_one() -> None:
    """Against torch's own schedulers, chained as in the public script."""
    recipe = Recipe(WindowSampling(samples=320))
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([parameter], lr=2.4e-3)
    steps, expected = epoch_steps(recipe.sampling, 10), []
    assert steps == 10
    scheduler: Any = LambdaLR(optimiser, lambda step: step / (3 * steps))
    for step in range(21 * steps):
        if step == 3 * steps:
            scheduler = CosineAnnealingLR(optimiser, T_max=18 * steps, eta_min=2.4e-5)
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    found = [learning_rate(step, recipe, steps) for step in range(21 * steps)]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert (found[0], found[15], found[30]) == pytest.approx((0, 1.2e-3, 2.4e-3))


def test_the_published_constants_are_the_defaults_and_those_of_the_configuration() -> None:
    recipe = config.record(DwiseTraining, config.load(CONFIGS / "dwiseneuro.yaml"), where="train").training
    sampling = replace(recipe.sampling, readers=0)
    assert replace(recipe, precision="float32", sampling=sampling) == Recipe()
    assert epoch_steps(sampling, 10) * (recipe.warmup_epochs + recipe.epochs) == 47_250
    assert (recipe.weight_decay, recipe.average, sampling.cutmix, sampling.cutmix_alpha) == (0.05, 0.999, 0.5, 1.0)


def test_the_loss_is_the_published_one() -> None:
    """Torch's Poisson loss, summed over neurons and frames and averaged over the samples of all mice."""
    mice = (mouse(6), mouse(4, seed=1, name="b"))
    run = start(mice, SETTINGS, RECIPE, CPU)
    batch = reader(run)(0)
    network = run.network.eval()
    with torch.no_grad():
        found = batch_loss(network, batch, "float32")
        rates = [network(batch.inputs[[i]], int(m))[0] for i, m in enumerate(batch.mice)]
    published = torch.nn.PoissonNLLLoss(log_input=False, full=False, eps=1e-8, reduction="sum")
    each = [published(rate, target) for rate, target in zip(rates, batch.responses, strict=True)]
    torch.testing.assert_close(found, torch.stack(each).mean(), rtol=1e-5, atol=0)
    assert {len(r) for r in rates} == {6, 4}


def test_averages_move_by_their_share_towards_the_network() -> None:
    run = start([mouse()], SETTINGS, RECIPE, CPU)
    before = copy.deepcopy(run.averaged.state_dict())
    with torch.no_grad():
        for value in run.network.state_dict().values():
            value.add_(1)
    update_average(run.averaged, run.network, 0.9)
    for name, value in run.averaged.state_dict().items():
        learnt = run.network.state_dict()[name]
        expected = 0.9 * before[name] + 0.1 * learnt if value.is_floating_point() else learnt
        torch.testing.assert_close(value, expected)


def test_a_share_of_samples_or_channels_is_dropped_by_the_generator_alone() -> None:
    x, globally = torch.ones(400, 50, 2), torch.get_rng_state()
    for axes, parts in ((1, 400), (2, 20_000)):
        drop = Drop(0.3, axes=axes)
        drop.generator = torch.Generator().manual_seed(0)
        out = drop(x)
        assert set(out.unique().tolist()) == {0.0, out.max().item()} and out.max().item() == pytest.approx(1 / 0.7)
        kept = (out > 0).flatten(axes)
        assert torch.equal(kept.all(-1), kept.any(-1)) and kept.all(-1).numel() == parts
        assert kept.float().mean() == pytest.approx(0.7, abs=0.08)
        assert torch.equal(drop.eval()(x), x)
    assert torch.equal(torch.get_rng_state(), globally)


def test_two_mice_of_different_numbers_of_neurons_learn_together() -> None:
    mice = (mouse(6, noise=12), mouse(4, seed=1, name="b", noise=12))
    recipe = replace(RECIPE, sampling=WindowSampling(samples=160, batch=16, cutmix=0.3), epochs=3, base_rate=4e-3)
    run, globally = start(mice, SETTINGS, recipe, CPU), torch.get_rng_state()
    before = validate(run.averaged, mice, batch=16)
    finished = train_dwise(mice, SETTINGS, recipe, device=CPU)
    assert torch.equal(torch.get_rng_state(), globally)
    after = validate(finished.averaged, mice, batch=16)
    assert after["validation_loss"] < before["validation_loss"] - 0.5
    for name in ("validation/a", "validation/b"):
        assert after[name] > max(before[name], 0) + 0.2
    assert after["validation_correlation"] == pytest.approx((after["validation/a"] + after["validation/b"]) / 2)
    assert finished.step == 4 * 10 and not finished.averaged.training


def test_validation_is_over_windows_that_tile_the_trials() -> None:
    one = mouse()
    network = start([one], SETTINGS, RECIPE, CPU).averaged
    windows = [cut(c, SETTINGS, first) for c in one.validation for first in range(0, 35, 7)]
    with torch.no_grad():
        rates = torch.cat([network(w.inputs[None], 0)[0] for w in windows], 1)
    responses = torch.cat([w.responses for w in windows], 1)
    expected = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(rates, responses, strict=True)])
    found = validate(network, [one], batch=4)
    assert found["validation_correlation"] == pytest.approx(float(expected.mean()), abs=1e-5)
    each = torch.nn.PoissonNLLLoss(log_input=False, reduction="sum")(rates, responses) / len(windows)
    assert found["validation_loss"] == pytest.approx(float(each), rel=1e-5)


@pytest.mark.parametrize("stop", [3, 8])
def test_resuming_equals_an_uninterrupted_training(tmp_path: Path, stop: int) -> None:
    mice, path = (mouse(6), mouse(4, seed=1, name="b")), tmp_path / "state"
    recipe = replace(RECIPE, sampling=WindowSampling(samples=48, batch=8))
    whole = train_dwise(mice, SETTINGS, recipe, device=CPU)
    run = start(mice, SETTINGS, recipe, CPU)
    for step in range(stop):
        advance(run, reader(run)(step))
    save_run(run, path)
    ahead = replace(recipe, sampling=replace(recipe.sampling, readers=2))
    resumed = train_dwise(mice, SETTINGS, ahead, device=CPU, checkpoint=path, log=tmp_path / "log")
    assert resumed.step == whole.step == 18
    assert_equal(resumed, whole)
    assert not torch.equal(whole.averaged.core.stem[0].weight, run.averaged.core.stem[0].weight)
    assert list((tmp_path / "log").iterdir())


def test_a_killed_training_leaves_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mice, path = (mouse(),), tmp_path / "state"
    monkeypatch.setattr(dwise_training, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(dwise_training, "SAVE_SHARE", math.inf)
    genuine = dwise_training.advance

    def until_five(run: DwiseRun, batch: WindowBatch) -> dict[str, float]:
        if run.step == 5:
            raise KeyboardInterrupt
        return genuine(run, batch)

    monkeypatch.setattr(dwise_training, "advance", until_five)
    with pytest.raises(KeyboardInterrupt):
        train_dwise(mice, SETTINGS, RECIPE, device=CPU, checkpoint=path)
    run = start(mice, SETTINGS, RECIPE, CPU)
    load_run(run, path)
    assert run.step == 5
    for other in (replace(RECIPE, epochs=3), replace(RECIPE, base_rate=1e-3)):
        with pytest.raises(ValueError, match="another network, recipe or other recordings; delete it to start again"):
            load_run(start(mice, SETTINGS, other, CPU), path)
    with pytest.raises(ValueError, match="other settings, data or code; delete it to start again"):
        train_dwise(mice, SETTINGS, RECIPE, device=CPU, checkpoint=path, about="other data")
    path.write_bytes(b"no state")
    monkeypatch.setattr(dwise_training, "advance", genuine)
    assert train_dwise(mice, SETTINGS, RECIPE, device=CPU, checkpoint=path).step == run.steps
    assert path.with_name("state.damaged").read_bytes() == b"no state"


def test_portions_add_up_to_the_whole_batch() -> None:
    """In evaluation mode the portions' losses average to the batch loss; in training BatchNorm sees single portions."""
    run = start([mouse()], replace(SETTINGS, drop_rate=0.0, drop_path_rate=0.0), RECIPE, CPU)
    batch = reader(run)(0)
    run.network.eval()
    whole = batch_loss(run.network, batch, "float32")
    halves = [
        batch_loss(
            run.network,
            WindowBatch(batch.inputs[i : i + 4], batch.mice[i : i + 4], batch.responses[i : i + 4]),
            "float32",
        )
        for i in (0, 4)
    ]
    torch.testing.assert_close(whole, (halves[0] + halves[1]) / 2)
    portioned = replace(run, recipe=replace(RECIPE, portions=2))
    loss = learn(portioned, batch, 1e-3)
    assert math.isfinite(loss) and loss != pytest.approx(float(whole.detach()), rel=1e-6)


@pytest.mark.usefixtures("computes_bfloat16")
def test_bfloat16_is_near_float32() -> None:
    run = start([mouse()], SETTINGS, RECIPE, CPU)
    batch, network = reader(run)(0), run.network.eval()
    exact, lowered = (float(batch_loss(network, batch, precision).detach()) for precision in ("float32", "bfloat16"))
    assert lowered != exact and lowered == pytest.approx(exact, rel=0.02)
