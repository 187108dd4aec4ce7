"""DwiseNeuro: published names and values, sliding window, gradients; published files execute no code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worlds.dwiseneuro import NARROW, params, random_state, trial

from recon import cli, encoders
from recon.encoders.base import freeze
from recon.encoders.checkpoints import read_card
from recon.encoders.dwiseneuro import argus_files as argus
from recon.encoders.dwiseneuro.encoder import DwiseNeuro, load_dwiseneuro, readout_index
from recon.encoders.dwiseneuro.network import NEURONS, DwiseNetwork, DwiseSettings

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/dwise.json").read_text())
"""Names, shapes and rates from the public code: `tests/exact/dwiseneuro_exact.py CLONE --golden FILE`."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model-020-0.29.pth"
    state = random_state(GOLDEN["shapes"])
    torch.save({"model_name": "MouseModel", "params": params(NARROW), "nn_state_dict": state}, path)
    return path


def inputs(frames: int, samples: int = 1) -> tuple[Tensor, Tensor]:
    pairs = [trial(frames, seed=seed) for seed in range(1, samples + 1)]
    return torch.stack([movie for movie, _ in pairs])[:, None] / 255, torch.stack([states for _, states in pairs])


def test_names_and_shapes_are_the_published_ones() -> None:
    state = DwiseNetwork(DwiseSettings(**NARROW)).state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == GOLDEN["shapes"]
    torch.testing.assert_close(
        state["core.blocks.0.inv_freq"], random_state(GOLDEN["shapes"])["core.blocks.0.inv_freq"], rtol=1e-6, atol=0
    )


def test_a_trial_is_predicted_as_the_public_code_does(weights: Path) -> None:
    encoder = encoders.load("dwiseneuro", weights=str(weights), mouse=str(GOLDEN["mouse"]))
    with torch.no_grad():
        rates = encoder(*inputs(40))[0]
    expected = torch.tensor(GOLDEN["rates"])
    assert expected.std() > 1
    torch.testing.assert_close(rates[:, [0, 1, 9, 20, 31, 39]], expected, rtol=1e-5, atol=1e-6)


def test_a_whole_canvas_is_a_movie_too(weights: Path) -> None:
    encoder, (movie, behavior) = load_dwiseneuro(weights, "0"), inputs(33)
    canvas = torch.nn.functional.pad(movie, (0, 0, 14, 14))
    assert torch.equal(encoder(canvas, behavior), encoder(movie, behavior))
    stacked = encoder.stacked(movie, behavior)
    assert torch.equal(stacked[:, 0, :, 14:50], movie[:, 0] * 255) and stacked[:, 0, :, :14].abs().sum() == 0
    assert torch.equal(stacked[0, 3, :, 5, 7], behavior[0, 2])


@pytest.mark.parametrize("windows", [1, 3])
def test_chunks_and_batches_change_nothing(weights: Path, windows: int) -> None:
    one, many = load_dwiseneuro(weights, "0", windows=64), load_dwiseneuro(weights, "0", windows=windows)
    movie, behavior = inputs(34, samples=2)
    gradients, rates = [], []
    for encoder in (one, many):
        freeze(encoder)
        shown = movie.clone().requires_grad_()
        rates.append(encoder(shown, behavior))
        gradients.append(torch.autograd.grad((rates[-1] ** 2).sum(), shown)[0])
    torch.testing.assert_close(rates[1], rates[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4 * gradients[0].abs().max().item())
    alone = torch.cat([many(movie[[i]], behavior[[i]]) for i in range(2)])
    torch.testing.assert_close(alone, rates[1], rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences(weights: Path) -> None:
    encoder = freeze(load_dwiseneuro(weights, "1")).double()
    movie, behavior = (part.double() for part in inputs(34))
    direction = torch.randn(movie.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    shown = movie.clone().requires_grad_()
    slope = (torch.autograd.grad(encoder(shown, behavior).sum(), shown)[0] * direction).sum()
    rise = [encoder(movie + step * direction, behavior).sum() for step in (1e-5, -1e-5)]
    assert slope.abs() > 1e-3
    torch.testing.assert_close(slope, (rise[0] - rise[1]) / 2e-5, rtol=1e-5, atol=0)
    assert all(parameter.grad is None for parameter in encoder.parameters())


@pytest.mark.slow
def test_a_rate_depends_on_the_stated_context_only(weights: Path) -> None:
    encoder, (movie, behavior) = freeze(load_dwiseneuro(weights, "0")), inputs(95)
    shown = movie.requires_grad_()
    gradient = torch.autograd.grad(encoder(shown, behavior)[0, 0, 47], shown)[0][0, 0].abs().sum((1, 2))
    before, after = encoder.spec.context
    assert gradient[: 47 - before].sum() == 0 and gradient[48 + after :].sum() == 0
    assert gradient[47 - before] > 0 and gradient[47 + after] > 0


def test_it_is_loaded_for_prediction(weights: Path) -> None:
    encoder, (movie, behavior) = load_dwiseneuro(weights, "0"), inputs(31)
    assert not any(module.training for module in encoder.modules())
    state = torch.get_rng_state()
    first = encoder(movie, behavior)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(encoder(movie, behavior), first)
    encoder.train()
    with torch.random.fork_rng():
        assert not torch.equal(encoder(movie, behavior), first)


def test_views_share_the_core() -> None:
    network = DwiseNetwork(DwiseSettings(**NARROW))
    views = [DwiseNeuro(network, index) for index in range(2)]
    assert views[0].core is views[1].core
    assert [len(view.spec.neuron_ids) for view in views] == [5, 7]


def test_neurons_are_counted(weights: Path) -> None:
    encoder = load_dwiseneuro(weights, "0")
    assert encoder.for_neurons((9, 4, 7, 1, 2)).spec.neuron_ids == (9, 4, 7, 1, 2)
    with pytest.raises(ValueError, match="expected 5 as in the readout, got 3"):
        encoder.for_neurons((1, 2, 3))


def test_mice_have_names() -> None:
    outputs = tuple(NEURONS.values())
    assert [readout_index(mouse, outputs) for mouse in NEURONS] == list(range(10))
    for mouse, counts in (("dynamic29515-10-12", (5, 7)), ("12", outputs), ("mouse", outputs)):
        with pytest.raises(ValueError, match="mouse: expected one of dynamic29515-10-12"):
            readout_index(mouse, counts)


@pytest.mark.parametrize(
    ("frames", "size", "message"),
    [(30, 36, "expected at least 31 frames"), (31, 40, "expected .B,1,T,H,W."), (31, 36, "pass the")],
)
def test_other_inputs_are_refused(weights: Path, frames: int, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dwiseneuro(weights, "0")(torch.rand(1, 1, frames, size, 64), torch.rand(1, 4, 29))


@pytest.mark.parametrize("zipped", [True, False])
def test_both_forms_are_converted_and_back(weights: Path, tmp_path: Path, zipped: bool) -> None:
    content = torch.load(weights, weights_only=True)
    torch.save(content, weights, _use_new_zipfile_serialization=zipped)
    there, back = tmp_path / "there.safetensors", tmp_path / "back.pth"
    assert cli.main(["encoders", "convert", str(weights), str(there)]) == 0
    assert cli.main(["encoders", "convert", str(there), str(back)]) == 0
    arguments = inputs(33)
    first, *others = (load_dwiseneuro(path, "1") for path in (weights, there, back))
    for other in others:
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in first.state_dict().items())
        # Memory alignment can change the order of summation, and with it the rounding.
        assert torch.allclose(first(*arguments), other(*arguments), rtol=1e-5, atol=1e-7)
    assert read_card(there)["source"] == weights.name
    assert json.loads(there.with_suffix(".json").read_text())["settings"]["core_features"] == [8, 8, 12]
    assert cli.main(["encoders", "convert", str(there), str(tmp_path / "again.safetensors")]) == 2


class Payload:
    """A pickle that creates a file when unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.file), "w")


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_code_in_a_pickle_is_refused_and_does_not_run(weights: Path, tmp_path: Path, form: str) -> None:
    made = tmp_path / "made"
    content = torch.load(weights, weights_only=True)
    content["params"]["more"] = Payload(made)
    if form == "pickle":
        weights.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, weights, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ValueError, match=r"expected tensors and plain values only.*nothing was run") as refused:
        argus.read_published(weights)
    assert "weights_only" not in str(refused.value), "no advice to read it all the same"
    assert cli.main(["encoders", "convert", str(weights), str(tmp_path / "out.safetensors")]) == 2
    assert not made.exists() and not (tmp_path / "out.safetensors").exists()
    # Positive control: unrestricted unpickling does create the file.
    torch.load(weights, weights_only=False) if form != "pickle" else pickle.loads(weights.read_bytes())
    assert made.exists()


@pytest.mark.parametrize("damage", ["truncated", "list", "name", "missing", "shape", "network", "position"])
def test_other_files_are_refused(weights: Path, damage: str) -> None:
    content = torch.load(weights, weights_only=True)
    state = content["nn_state_dict"]
    if damage == "missing":
        del state["readouts.1.layer.1.bias"]
    elif damage == "shape":
        state["core.stem.0.weight"] = torch.zeros(8, 4, 1, 1, 1)
    elif damage == "name":
        content["nn_state_dict"] = {f"module.{name}": value for name, value in state.items()}
    elif damage == "network":
        content["params"]["nn_module"] = ("resnet", {})
    elif damage == "position":
        content["params"]["frame_stack"]["position"] = "middle"
    torch.save([1] if damage == "list" else content, weights)
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-3000])
    with pytest.raises(ValueError, match="expected"):
        load_dwiseneuro(weights, "0")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected a \.pth or \.safetensors file, got 'nowhere.pth'"):
        encoders.load("dwiseneuro", weights="nowhere.pth", mouse="0")


def test_the_frozen_core_is_the_learning_one_and_its_gradient(weights: Path) -> None:
    encoder = load_dwiseneuro(weights, "1")
    inputs = torch.rand(2, 5, 16, 64, 64, generator=torch.Generator().manual_seed(3)) * 255
    learning = encoder.window(inputs.requires_grad_())
    pull = torch.rand(learning.shape, generator=torch.Generator().manual_seed(4))
    (expected,) = torch.autograd.grad(learning, inputs, pull)
    frozen = freeze(encoder).window(inputs)
    (found,) = torch.autograd.grad(frozen, inputs, pull)
    torch.testing.assert_close(frozen, learning, rtol=1e-5, atol=1e-6 * float(learning.max()))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_a_frozen_core_notices_other_weights(weights: Path) -> None:
    encoder = freeze(load_dwiseneuro(weights, "1"))
    inputs = torch.rand(1, 5, 16, 64, 64, generator=torch.Generator().manual_seed(3)) * 255
    before = encoder.window(inputs)
    with torch.no_grad():
        next(encoder.core.parameters()).mul_(0.5)
    assert (encoder.window(inputs) - before).abs().max() > 0
