"""Static encoders: published names load strictly, frames are independent, and the published weights load."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from recon import encoders
from recon.encoders.base import freeze
from recon.encoders.sensorium.static2022 import Normalisation, Sensorium2022, load_sensorium2022

MOUSE, CHANNELS, NEURONS = "1-2-3", 6, 9
REAL = Path(__file__).parents[3] / "shared/data/sensorium2022_pretrained"
PUBLIC = {
    "sensorium_sota_model.pth": ("cnn", 7776),
    "sensorium_ln_model.pth": ("ln", 7776),
    "sensorium_p_sota_model.pth": ("cnn", 7538),
    "sensorium_p_ln_model.pth": ("ln", 7538),
}


def random_state(*, behaving: bool, layers: int = 3, mouse: str = MOUSE, seed: int = 0) -> dict[str, Tensor]:
    """Return a small state dict with the published names."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.2

    state = {
        "core._input_weights_regularizer.laplace.filter": draw(1, 1, 3, 3),
        "core.features.layer0.conv.weight": draw(CHANNELS, 4 if behaving else 1, 9, 9),
    }
    for layer in range(1, layers):
        start = f"core.features.layer{layer}.ds_conv."
        state |= {start + f"{name}_depth_conv.weight": draw(CHANNELS, CHANNELS, 1, 1) for name in ("in", "out")}
        state[start + "spatial_conv.weight"] = draw(CHANNELS, 1, 7, 7)
    for layer in range(layers):
        start = f"core.features.layer{layer}.norm."
        state |= {start + name: draw(CHANNELS) for name in ("bias", "running_mean")}
        state |= {start + name: 1 + draw(CHANNELS).abs() for name in ("weight", "running_var")}
        state[start + "num_batches_tracked"] = torch.tensor(3)
    start = f"readout.{mouse}."
    state |= {
        start + "sigma": draw(1, NEURONS, 2, 2),
        start + "_features": draw(1, CHANNELS, 1, NEURONS),
        start + "bias": draw(NEURONS),
        start + "source_grid": draw(NEURONS, 2),
        start + "mu_transform.0.weight": draw(30, 2),
        start + "mu_transform.0.bias": draw(30),
        start + "mu_transform.2.weight": draw(2, 30),
        start + "mu_transform.2.bias": draw(2),
    }
    if behaving:
        for index, (after, before) in {0: (5, 2), 2: (5, 5), 4: (2, 5)}.items():
            start = f"shifter.{mouse}.mlp.{index}."
            state |= {start + "weight": draw(after, before), start + "bias": draw(after)}
    return state


def saved(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, tmp_path / "model.pth")
    return tmp_path / "model.pth"


def world(samples: int = 2, frames: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    movie = torch.rand(samples, 1, frames, 36, 64, generator=generator)
    return movie, torch.rand(samples, 4, frames, generator=generator)


@pytest.mark.parametrize("behaving", [False, True])
@pytest.mark.parametrize("kind", ["cnn", "ln"])
def test_frames_and_samples_stand_alone(tmp_path: Path, behaving: bool, kind: str) -> None:
    path = saved(tmp_path, random_state(behaving=behaving))
    encoder = freeze(encoders.load("sensorium2022", weights=path, kind=kind))
    movie, behavior = world()
    rates = encoder(movie, behavior)
    assert rates.shape == (2, NEURONS, 5) and bool((rates >= 0).all())
    torch.testing.assert_close(encoder(movie[1:], behavior[1:]), rates[1:])
    # The change in pupil dilation needs the previous frame; images do not.
    part = encoder(movie[:, :, 2:], behavior[..., 2:])
    torch.testing.assert_close(part[..., encoder.spec.context[0] :], rates[..., 2 + encoder.spec.context[0] :])


def test_behavior_and_pupil_count_for_the_behaving_pair(tmp_path: Path) -> None:
    encoder = freeze(load_sensorium2022(saved(tmp_path, random_state(behaving=True)), "cnn"))
    movie, behavior = world()
    rates = encoder(movie, behavior)
    for channel in range(4):
        other = behavior.clone()
        other[:, channel] *= 1.7
        assert not torch.allclose(encoder(movie, other), rates), encoder.spec.behavior[channel]
    with pytest.raises(ValueError, match="behavior: expected"):
        encoder(movie)


def test_a_linear_core_is_linear_until_the_last_step(tmp_path: Path) -> None:
    encoder = freeze(load_sensorium2022(saved(tmp_path, random_state(behaving=False)), "ln"))
    first, second = (world()[0][sample].transpose(0, 1) for sample in range(2))
    middle = encoder.core((first + second) / 2)
    torch.testing.assert_close(middle, (encoder.core(first) + encoder.core(second)) / 2, rtol=1e-4, atol=1e-5)


def test_the_gradient_reaches_the_movie(tmp_path: Path) -> None:
    encoder = freeze(load_sensorium2022(saved(tmp_path, random_state(behaving=False)), "cnn"))
    movie = world()[0].requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(movie)[0, :, 2].sum(), movie)
    assert bool((gradient[0, 0, 2] != 0).any()) and not bool(gradient[0, 0, [0, 1, 3, 4]].any())


def test_normalisation_is_inside(tmp_path: Path) -> None:
    path = saved(tmp_path, random_state(behaving=False))
    movie = world()[0]
    plain = load_sensorium2022(path, "cnn", normalisation=Normalisation(image=(0.0, 255.0)))
    torch.testing.assert_close(plain((movie * 255 - 113) / 60), load_sensorium2022(path, "cnn")(movie))


@pytest.mark.parametrize("damage", ["missing", "unknown", "shape"])
def test_other_names_are_refused(tmp_path: Path, damage: str) -> None:
    state = random_state(behaving=False)
    name = "core.features.layer1.norm.weight"
    if damage == "missing":
        del state[name]
    elif damage == "unknown":
        state["core.features.layer1.gate"] = torch.zeros(1)
    else:
        state[name] = torch.zeros(CHANNELS + 1)
    with pytest.raises(ValueError, match=r"model\.pth: expected the published names and shapes.*layer1"):
        load_sensorium2022(saved(tmp_path, state), "cnn")


def test_one_of_several_mice_is_named(tmp_path: Path) -> None:
    other = {k: v for k, v in random_state(behaving=False, mouse="9-9", seed=3).items() if "readout" in k}
    path = saved(tmp_path, random_state(behaving=False) | other)
    assert load_sensorium2022(path, "cnn", mouse="9-9").mouse == "9-9"
    with pytest.raises(ValueError, match=r"expected a readout of mouse …, got those of \['1-2-3', '9-9'\]"):
        load_sensorium2022(path, "cnn")


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("ran",)


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(random_state(behaving=False) | {"x": _Evil()}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="nothing was run"):
        load_sensorium2022(tmp_path / "model.pth", "cnn")
    assert not (tmp_path / "ran").exists()


def test_neurons_are_counted(tmp_path: Path) -> None:
    encoder = load_sensorium2022(saved(tmp_path, random_state(behaving=False)), "cnn")
    assert encoder.for_neurons(tuple(range(50, 50 + NEURONS))).spec.neuron_ids[0] == 50
    with pytest.raises(ValueError, match="expected 9 as in the readout of mouse 1-2-3, got 4"):
        encoder.for_neurons((1, 2, 3, 4))


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the published weights in {REAL.name}")
@pytest.mark.parametrize("name", PUBLIC)
def test_the_published_weights_load_strictly(name: str) -> None:
    kind, count = PUBLIC[name]
    encoder = load_sensorium2022(REAL / name, "cnn" if kind == "cnn" else "ln")
    movie, behavior = world(1, 3)
    rates = freeze(encoder)(movie, behavior)
    assert isinstance(encoder, Sensorium2022) and rates.shape == (1, count, 3)
    assert 0.1 < float(rates.mean()) < 1.0 and bool((rates >= 0).all())
