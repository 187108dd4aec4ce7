"""DwiseNeuro training as published: learning rates, sampling, CutMix, averaging; exact resume; saved file loads."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from recon import cli, config, encoders
from recon.data.open import open_recording
from recon.encoders.dwiseneuro import train as dwise_training
from recon.encoders.dwiseneuro.argus_files import convert, read_published
from recon.encoders.dwiseneuro.blocks import Drop
from recon.encoders.dwiseneuro.encoder import DwiseNeuro
from recon.encoders.dwiseneuro.network import DwiseSettings, Subject
from recon.encoders.dwiseneuro.sampling import (
    Mouse,
    Window,
    WindowBatch,
    WindowSampling,
    cut,
    cut_mix,
    drawn_box,
    epoch_order,
    epoch_steps,
    plan,
    read_ahead,
    read_batch,
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
from recon.encoders.training.clips import TrainingClip, evaluate
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.study.encoders import Arithmetic, ready_encoder
from recon.train.autoencoder import AutoencoderTraining
from recon.train.decoder import DecoderTraining
from recon.train.dwiseneuro import DwiseTraining, KeptClips, Room, train_dwiseneuro
from recon.train.encoder import EncoderTraining
from recon.train.prior import PriorTraining

CPU = torch.device("cpu")
CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "train"
TREE: dict[str, Any] = {
    "core_features": [6, 8],
    "spatial_strides": [4, 2],
    "temporal_kernel": 3,
    "expansion_ratio": 2,
    "se_reduce_ratio": 4,
    "cortex_features": [16],
    "drop_rate": 0.1,
    "frames": 4,
    "step": 2,
    "canvas": [18, 32],
}
SETTINGS = DwiseSettings(**{key: tuple(v) if isinstance(v, list) else v for key, v in TREE.items()})
RECIPE = Recipe(WindowSampling(samples=64, batch=8), warmup_epochs=1, epochs=2, average=0.9)


def clip(frames: int, neurons: int, *, seed: int) -> TrainingClip:
    """Even neurons follow the screen's brightness, odd ones its darkness, with Poisson noise."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.rand(frames, generator=generator)
    movie = light[None, :, None, None].expand(1, -1, 36, 64).contiguous()
    drive = torch.stack([light, 1 - light])[torch.arange(neurons) % 2]
    behavior = torch.randn(4, frames, generator=generator)
    return TrainingClip(movie, torch.poisson(6 * drive**2, generator=generator), behavior)


def mouse(neurons: int = 6, *, seed: int = 0, name: str = "a", noise: int = 3) -> Mouse:
    trials = [clip(40, neurons, seed=100 * seed + index) for index in range(noise + 3)]
    return Mouse(Subject(name, tuple(range(10, 10 + neurons)), 30.0, 2.0), trials[3:], trials[:3])


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


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_configuration_of_a_training_is_valid(file: Path) -> None:
    tree = config.load(file)
    kind: type[Any] = DwiseTraining if tree.get("encoder") == "dwiseneuro" else EncoderTraining
    if "method" in tree or "encoder" not in tree:
        others = PriorTraining if "clips" in tree else AutoencoderTraining
        kind = DecoderTraining if "method" in tree else others
    chosen = config.record(kind, tree, where="train")
    assert chosen.name == file.stem and chosen.output.suffix == ".safetensors"


def test_every_mouse_has_the_same_share_of_an_epoch() -> None:
    sampling = WindowSampling(samples=1200, batch=16)
    trials = (2, 5, 9)
    samples = [s for step in range(epoch_steps(sampling, 3)) for s in plan(step, trials, sampling, (36, 64))]
    assert [sum(s.window.mouse == m for s in samples) for m in range(3)] == [400, 400, 400]
    assert not torch.equal(epoch_order(sampling, 3, 0), epoch_order(sampling, 3, 1))
    for m, count in enumerate(trials):
        chosen = [s.window for s in samples if s.window.mouse == m]
        share = torch.bincount(torch.tensor([draw.trial for draw in chosen]), minlength=count) / len(chosen)
        assert len(share) == count and (share - 1 / count).abs().max() < 5 * math.sqrt(1 / count / len(chosen))
        assert sum(draw.place for draw in chosen) / len(chosen) == pytest.approx(0.5, abs=0.07)
    mixed = [s for s in samples if s.other is not None]
    assert len(mixed) / len(samples) == pytest.approx(0.5, abs=0.07)
    assert all(s.other.mouse == s.window.mouse for s in mixed if s.other) and any(s.other != s.window for s in mixed)
    assert plan(3, trials, sampling, (18, 32)) == plan(3, trials, sampling, (18, 32))
    assert plan(3, trials, sampling, (18, 32)) != plan(3, trials, replace(sampling, seed=1), (18, 32))


def test_windows_start_at_every_place_and_hold_every_second_frame() -> None:
    frames = 9
    movie = torch.arange(float(frames))[None, :, None, None].expand(1, -1, 36, 64) / 255
    responses = torch.arange(float(frames))[None] - 3
    one = Mouse(Subject("a", (1,)), [TrainingClip(movie, responses, torch.arange(4.0 * frames).view(4, frames))], [])
    sampling = WindowSampling(samples=400, batch=400, cutmix=0)
    batch = read_batch(plan(0, (1,), sampling, SETTINGS.canvas), [one], SETTINGS)
    first = batch.inputs[:, 0, 0, 0, 0].round().int()
    assert torch.bincount(first).tolist() == pytest.approx([400 / 3] * 3, abs=45)
    shown = batch.inputs[:, 0, :, 10, 15]
    torch.testing.assert_close(shown - shown[:, :1], torch.tensor([[0.0, 2, 4, 6]]).expand(400, -1))
    heard = torch.stack(batch.responses)[:, 0]
    torch.testing.assert_close(heard, (shown - 3).clamp_min(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(batch.inputs[:, 2, :, 5, 7], shown + frames, atol=1e-4, rtol=0)


def test_cutmix_pastes_one_box_into_every_frame_and_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    windows = [Window(torch.rand(5, 4, 36, 64, generator=generator), torch.rand(3, 4)) for _ in range(2)]
    before = copy.deepcopy(windows)
    mixed = cut_mix(windows[0], windows[1], (4, 10, 20, 40))
    inside = torch.zeros(36, 64, dtype=torch.bool)
    inside[4:10, 20:40] = True
    assert torch.equal(mixed.inputs, torch.where(inside, windows[1].inputs, windows[0].inputs))
    share = 6 * 20 / (36 * 64)
    torch.testing.assert_close(mixed.responses, (1 - share) * windows[0].responses + share * windows[1].responses)
    assert all(
        torch.equal(a, b) for old, new in zip(before, windows, strict=True) for a, b in zip(old, new, strict=True)
    )
    nothing, whole = (cut_mix(windows[0], windows[1], box) for box in ((7, 7, 3, 3), (0, 36, 0, 64)))
    assert all(torch.equal(a, b) for a, b in zip(nothing, windows[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole, windows[1], strict=True))


def test_boxes_have_the_canvas_s_shape_and_the_shares_of_a_beta_variable() -> None:
    generator = torch.Generator().manual_seed(1)
    boxes = torch.tensor([drawn_box((64, 64), 1.0, generator) for _ in range(3000)])
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    assert boxes.min() >= 0 and boxes.max() <= 64 and min(int(height.min()), int(width.min())) >= 0
    uncut = (boxes[:, 0] > 0) & (boxes[:, 2] > 0) & (boxes[:, 1] < 64) & (boxes[:, 3] < 64)
    assert uncut.sum() > 300 and torch.equal(height[uncut], width[uncut])
    # The public rand_bbox in NumPy: half sides int(64 √λ) // 2 around a uniform pixel, clipped.
    import numpy as np

    rng = np.random.default_rng(0)
    half, centre = (64 * np.sqrt(rng.beta(1, 1, 100_000))).astype(int) // 2, rng.integers(64, size=(2, 100_000))
    sides = np.clip(centre + half, 0, 64) - np.clip(centre - half, 0, 64)
    area = (height * width).double().numpy() / 64**2
    assert area.mean() == pytest.approx((sides.prod(0) / 64**2).mean(), abs=0.02)
    assert np.quantile(area, [0.25, 0.75]) == pytest.approx(np.quantile(sides.prod(0) / 64**2, [0.25, 0.75]), abs=0.03)
    flat = torch.tensor([drawn_box((64, 64), 50.0, generator) for _ in range(300)])
    assert (flat[:, 1] - flat[:, 0]).max() <= 2 * (int(64 * math.sqrt(0.75)) // 2)


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
    path.write_bytes(b"no state")
    with pytest.raises(ValueError, match="delete it to start again"):
        load_run(run, path)


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


def test_batches_that_are_read_ahead_come_in_order() -> None:
    run = start((mouse(), mouse(4, seed=1, name="b")), SETTINGS, RECIPE, CPU)
    inline, ahead = (list(read_ahead(range(2, 7), reader(run), readers)) for readers in (0, 3))
    assert len(inline) == 5 and all(torch.equal(a.inputs, b.inputs) for a, b in zip(inline, ahead, strict=True))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"neurons": 5, "minutes": 0.1, "train_frames": 60, "clip_frames": 40, "validation_clips": 2}
    settings = replace(TINY, frame_size=(36, 64), degrees_per_pixel=1.94, test_clips=1, repeats=2, **sizes)
    return simulate(tmp_path_factory.mktemp("recordings") / "tiny", settings, progress=False)


def tree(recordings: Any, output: Path, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    training = {"sampling": {"samples": 8, "batch": 4}, "warmup_epochs": 1, "epochs": 1, "average": 0.5}
    basic = {"name": "tiny", "encoder": "dwiseneuro", "recording": recordings, "output": str(output), "device": "cpu"}
    return basic | {"architecture": TREE, "training": training, "validations": 2, "warmup_frames": 8} | (changes or {})


def test_the_saved_file_is_an_encoder_of_its_recording(
    recording: Path, published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = published(tiers=("train", "train", "oracle", "oracle"), neurons=7, size=(36, 64), folder="second")
    runs: list[DwiseRun] = []
    genuine = train_dwise

    def remembered(*arguments: Any, **options: Any) -> DwiseRun:
        runs.append(genuine(*arguments, **options))
        return runs[-1]

    monkeypatch.setattr("recon.train.dwiseneuro.train_dwise", remembered)
    path = train_dwiseneuro(tree([str(recording), str(second)], tmp_path / "two.safetensors"))
    opened = open_recording(recording)
    encoder = encoders.load("dwiseneuro", weights=str(path), mouse="tiny")
    assert encoder.spec.neuron_ids == opened.unit_ids and encoder.spec.degrees_per_pixel == 1.94
    trials = [opened.trial(index) for index in opened.trials("oracle")]
    arguments = trials[0].movie[None], trials[0].behavior[None]
    for place in (0, 1):
        loaded = encoders.load("dwiseneuro", weights=str(path), mouse=str(place))
        with torch.no_grad():
            assert torch.equal(loaded(*arguments), DwiseNeuro(runs[0].averaged, place)(*arguments))
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["data"][0]["fingerprint"] == opened.fingerprint() and card["steps"] == 4
    watched = [opened.trial(index) for index in (trials[0].index, trials[2].index)]
    assert len({trial.video_id for trial in watched}) == 2
    score = evaluate(encoder, [TrainingClip(t.movie, t.responses, t.behavior) for t in watched], warmup=8).nanmean()
    assert card["mice"]["tiny"]["validation_correlation"] == pytest.approx(float(score), abs=1e-4)
    assert not path.with_suffix(".training").exists()
    back = convert(path, tmp_path / "two.pth")
    assert all(
        torch.equal(a, b) for a, b in zip(*(read_published(p).tensors.values() for p in (path, back)), strict=True)
    )
    with pytest.raises(ValueError, match="mouse: expected one of tiny, second, or a readout number 0–1, got 'other'"):
        encoders.load("dwiseneuro", weights=str(path), mouse="other")


def test_named_neurons_are_not_renamed(recording: Path, tmp_path: Path) -> None:
    path = train_dwiseneuro(tree(str(recording), tmp_path / "one.safetensors"))
    opened = open_recording(recording)
    chosen = {"name": "dwiseneuro", "weights": str(path), "mouse": "tiny"}
    assert ready_encoder(chosen, opened, Arithmetic(CPU), where="encoders.a").spec.neuron_ids == opened.unit_ids
    opened.unit_ids = opened.unit_ids[::-1]
    with pytest.raises(ValueError, match="expected neuron 5 at place 0"):
        ready_encoder(chosen, opened, Arithmetic(CPU), where="encoders.a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"architecture": {"width": 3}}, "train.architecture: expected one of readout_outputs.*got key 'width'"),
        ({"architecture": {"readout_outputs": [3]}}, "readout_outputs: expected none"),
        ({"training": {"epochs": 1.5}}, "train.training.epochs"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"training": {"sampling": {"cutmix": 2.0}}}, "cutmix"),
        ({"training": {"sampling": {"samples": 2}}}, "samples: expected at least 32"),
        ({"training": {"precision": "float8"}}, "train.training.precision"),
        ({"architecture": {"frames": 80}}, "expected at least 159 frames"),
        ({"recording": "nowhere"}, "nowhere"),
        ({"recording": ["RECORDING", "RECORDING"]}, "recording: expected different animals, got 'tiny' twice"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    if isinstance(changes.get("recording"), list):
        changes = {"recording": [str(recording)] * 2}
    with pytest.raises(ValueError, match=message):
        train_dwiseneuro(tree(str(recording), tmp_path / "x.safetensors", changes))
    assert not list(tmp_path.iterdir())
    (tmp_path / "train.yaml").write_text(json.dumps(tree(str(recording), tmp_path / "x.safetensors", changes)))
    assert cli.main(["train", "encoder", str(tmp_path / "train.yaml")]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and re.search(message, shown), "the command hands it to DwiseNeuro's training"


def test_recordings_of_other_frames_or_without_behavior_are_refused(tmp_path: Path, published: Any) -> None:
    small = published(folder="small")
    with pytest.raises(ValueError, match=r"expected frames of \(36, 64\) for DwiseNeuro, got \(12, 16\)"):
        train_dwiseneuro(tree(str(small), tmp_path / "x.safetensors"))
    still = published(size=(36, 64), folder="still")
    shutil.rmtree(still / "data" / "behavior")
    with pytest.raises(ValueError, match="still: expected pupil and running for DwiseNeuro, got none"):
        train_dwiseneuro(tree(str(still), tmp_path / "x.safetensors"))


def test_trials_are_kept_while_there_is_room(recording: Path) -> None:
    opened = open_recording(recording)
    indices = opened.trials("train")
    assert len(indices) == 3
    size = KeptClips(opened, indices, Room(0))[0].movie.nbytes
    clips = KeptClips(opened, indices, Room(2.5 * size))
    first = [clips[place] for place in range(3)]
    assert [clips[place] is first[place] for place in range(3)] == [True, True, False]
    assert torch.equal(clips[2].movie, first[2].movie) and clips[1:][1].movie.shape == first[2].movie.shape
