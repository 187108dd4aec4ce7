"""Baselines of Sensorium 2023: published names load strictly, rates equal those of the public code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from worlds.sensorium2023 import BEHAVIOR, CHOSEN, FRAMES, IMAGE, MICE, MOUSE, PUPIL, random_state, trial

from recon import encoders
from recon.encoders.base import Unnamed, freeze
from recon.encoders.sensorium.movies2023 import UNENDING, Sensorium2023, Statistics, load_sensorium2023
from recon.encoders.sensorium.static2022 import belongs

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden/sensorium2023.json").read_text())
KINDS = ("factorised", "full", "gru", "gru_plain")
LOST = {"factorised": 18, "full": 16, "gru": 0, "gru_plain": 0}
STATISTICS = Statistics(IMAGE, BEHAVIOR, *PUPIL)


def state_of(kind: str) -> dict[str, Tensor]:
    return random_state(GOLDEN["narrow"][kind])


def saved(tmp_path: Path, state: dict[str, Any]) -> Path:
    torch.save(state, tmp_path / "final.pth")
    return tmp_path / "final.pth"


def built(kind: str, tmp_path: Path, *, memory: int | None = None) -> Sensorium2023:
    path = saved(tmp_path, state_of(kind))
    encoder = load_sensorium2023(path, MOUSE, statistics=STATISTICS, memory=memory)
    freeze(encoder)
    return encoder


def world(frames: int = FRAMES, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    movie, behavior = trial(frames, seed=seed)
    return movie[None, None] / 255, behavior[None]


@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_those_of_the_public_code(kind: str, tmp_path: Path) -> None:
    encoder, expected = built(kind, tmp_path), GOLDEN["rates"][kind]
    rates = encoder(*world())[0]
    assert rates.shape == (MICE[MOUSE], FRAMES) and encoder.lost == LOST[kind]
    assert list(expected) == [str(frame) for frame in CHOSEN if frame >= LOST[kind]]
    for frame, values in expected.items():
        torch.testing.assert_close(rates[:, int(frame)], torch.tensor(values), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_published_sizes_have_the_published_names(kind: str) -> None:
    shapes = GOLDEN["published"][kind]
    own = {name: torch.zeros(shape) for name, shape in shapes.items() if belongs(name, MOUSE)}
    encoder = Sensorium2023(own, mouse=MOUSE, statistics=STATISTICS)
    found = {name: list(value.shape) for name, value in encoder.state_dict().items()}
    assert found == {name: shapes[name] for name in own} and len(own) < len(shapes)
    before = LOST[kind] if LOST[kind] else UNENDING
    assert encoder.spec.context == (before, 0) and encoder.spec.behavior == encoders.BEHAVIOR_CHANNELS


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_what_its_samples_give_alone(kind: str, tmp_path: Path) -> None:
    encoder = built(kind, tmp_path)
    first, second = world(20), world(20, seed=2)
    both = encoder(torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]))
    assert not torch.allclose(both[0], both[1], rtol=0.1)
    for sample, alone in enumerate((encoder(*first), encoder(*second))):
        torch.testing.assert_close(both[sample], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["factorised", "full"])
def test_a_rate_rests_on_the_frames_of_its_context_only(kind: str, tmp_path: Path) -> None:
    encoder = built(kind, tmp_path)
    movie, behavior = world()
    rates, at, before = encoder(movie, behavior), 24, encoder.spec.context[0]
    changes = {at - before - 1: False, at - before: True, at: True, at + 1: False}
    for frame, counts in changes.items():
        other, moved = movie.clone(), behavior.clone()
        other[:, :, frame] = 1 - other[:, :, frame]
        moved[..., frame] *= 1.05
        changed = encoder(other, moved)[..., at]
        assert bool((changed - rates[..., at]).abs().max() > 1e-6) == counts, frame
    part = slice(at - before, at + 1)
    torch.testing.assert_close(encoder(movie[:, :, part], behavior[..., part])[..., -1], rates[..., at])


@pytest.mark.parametrize("kind", ["factorised", "full"])
def test_what_was_before_the_trial_is_its_first_frame(kind: str, tmp_path: Path) -> None:
    encoder = built(kind, tmp_path)
    movie, behavior = world(6)
    # With the first frame repeated explicitly, the same rates need no padding.
    still = (movie[:, :, :1].expand(-1, -1, 18, -1, -1), behavior[..., :1].expand(-1, -1, 18))
    longer = encoder(torch.cat([still[0], movie], 2), torch.cat([still[1], behavior], 2))
    torch.testing.assert_close(encoder(movie, behavior), longer[..., 18:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "gru_plain"])
def test_a_gru_remembers_the_first_frame_and_knows_no_later_one(kind: str, tmp_path: Path) -> None:
    encoder = built(kind, tmp_path)
    movie, behavior = (part.double() for part in world(12))
    encoder = encoder.double()
    (gradient,) = torch.autograd.grad(encoder(movie.requires_grad_(), behavior)[..., 8].sum(), movie)
    reached = gradient.abs().amax((0, 1, 3, 4)) > 0
    assert reached.tolist() == [True] * 9 + [False] * 3
    assert encoder.spec.context == (UNENDING, 0)
    assert built(kind, tmp_path, memory=40).spec.context == (40, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_finite_differences(kind: str, tmp_path: Path) -> None:
    encoder = built(kind, tmp_path).double()
    movie, behavior = (part.double() for part in world(5))
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(1, MICE[MOUSE], 5, generator=generator).double()
    direction = torch.randn(movie.shape, generator=generator).double()

    def value(step: float) -> Tensor:
        return (encoder(movie + step * direction, behavior) * weights).sum()

    leaf = movie.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((encoder(leaf, behavior) * weights).sum(), leaf)
    slope = (value(1e-6) - value(-1e-6)) / 2e-6
    assert float(slope.abs()) > 1e-2
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-7)


def test_every_channel_of_behavior_counts(tmp_path: Path) -> None:
    encoder = built("factorised", tmp_path)
    movie, behavior = world(20)
    rates = encoder(movie, behavior)
    for channel in range(4):
        other = behavior.clone()
        other[:, channel] *= 1.1
        assert not torch.allclose(encoder(movie, other), rates), encoders.BEHAVIOR_CHANNELS[channel]


def test_statistics_normalise_inside(tmp_path: Path) -> None:
    movie, behavior = world(20)
    plain = load_sensorium2023(saved(tmp_path, state_of("full")), MOUSE, statistics=Statistics(image=(0.0, 255.0)))
    scale = torch.tensor([*BEHAVIOR, *PUPIL[1]])[:, None]
    mean = torch.tensor([0.0, 0.0, *PUPIL[0]])[:, None]
    normal = plain((movie * 255 - IMAGE[0]) / IMAGE[1], (behavior - mean) / scale)
    torch.testing.assert_close(normal, built("full", tmp_path)(movie, behavior), rtol=1e-4, atol=1e-5)


def test_without_shifter_and_behavior_only_the_movie_counts(tmp_path: Path) -> None:
    state = {name: value for name, value in state_of("factorised").items() if not name.startswith("shifter")}
    name = "core.features.layer0.conv_spatial.weight"
    state[name] = state[name][:, :1]
    encoder = freeze(load_sensorium2023(saved(tmp_path, state), MOUSE))
    movie, behavior = world(40)
    assert encoder.spec.behavior == ()
    assert torch.equal(encoder(movie), encoder(movie, behavior))
    assert float(encoder(movie).std(2).min()) > 0.01


def test_pupil_centres_may_be_channels_too(tmp_path: Path) -> None:
    state = {name: value for name, value in state_of("factorised").items() if not name.startswith("shifter")}
    name = "core.features.layer0.conv_spatial.weight"
    state[name] = torch.cat((state[name], state[name][:, 1:]), 1)
    encoder = freeze(load_sensorium2023(saved(tmp_path, state), MOUSE, statistics=STATISTICS))
    movie, behavior = world(20)
    assert encoder.spec.behavior == encoders.BEHAVIOR_CHANNELS
    # Both behavior pairs have equal filters, so swapping their normalised values changes nothing.
    scale, mean = torch.tensor([*BEHAVIOR, *PUPIL[1]])[:, None], torch.tensor([0.0, 0.0, *PUPIL[0]])[:, None]
    exchanged = ((behavior - mean) / scale)[:, [2, 3, 0, 1]] * scale + mean
    torch.testing.assert_close(encoder(movie, exchanged), encoder(movie, behavior), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(encoder(movie, behavior * 1.1), encoder(movie, behavior))
    state[name] = state[name][:, :4]
    with pytest.raises(ValueError, match="expected 1, 3 or 5 input channels, got 4"):
        load_sensorium2023(saved(tmp_path, state), MOUSE)


def test_padding_that_the_file_does_not_tell_is_an_argument(tmp_path: Path) -> None:
    path = saved(tmp_path, state_of("factorised"))
    sizes = [
        load_sensorium2023(path, MOUSE, padded=padded).core(torch.zeros(1, 3, 19, 36, 64)) for padded in (False, True)
    ]
    assert [tuple(found.shape) for found in sizes] == [(1, 6, 1, 28, 56), (1, 6, 1, 36, 64)]
    assert load_sensorium2023(path, MOUSE).core(torch.zeros(1, 3, 19, 36, 64)).shape == sizes[0].shape


def test_both_forms_of_file_and_the_registry_give_one_encoder(tmp_path: Path) -> None:
    state = state_of("gru")
    save_file(state, tmp_path / "final.safetensors")
    short = MOUSE.partition("-Video")[0]
    read = encoders.load("sensorium2023", weights=tmp_path / "final.safetensors", mouse=short, statistics=STATISTICS)
    assert isinstance(read, Sensorium2023) and read.mouse == MOUSE and not read.training
    assert torch.equal(read(*world(4)), built("gru", tmp_path)(*world(4)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["missing", "unknown", "shape"])
def test_other_names_are_refused(tmp_path: Path, kind: str, damage: str) -> None:
    state = state_of(kind)
    names = [name for name in state if "core.features.layer1" in name and name.endswith(("norm.weight", "0.weight"))]
    name = next(iter(names), "core.features.layer1.norm.batch_norm.weight")
    if damage == "missing":
        del state[name]
    elif damage == "unknown":
        state["core.features.layer1.gate"] = torch.zeros(1)
    else:
        state[name] = torch.zeros(len(state[name]) + 1)
    with pytest.raises(ValueError, match=r"final\.pth: expected the published names and shapes, got: .*layer1"):
        load_sensorium2023(saved(tmp_path, state), MOUSE)


MISSING = {
    "core.features.layer1.conv_temporal_1.weight": ("factorised", "got: no .*layer1.conv_temporal_1.weight"),
    "gru_module.gru.out_gate_hidden.weight": ("gru", "got: no .*out_gate_hidden.weight"),
    "core.features.layer0.hermite_conv.rotate_hermite.Rs.2": ("gru", "got: no .*Rs.2"),
    f"readout.{MOUSE}.source_grid": ("full", "got: no 'source_grid'"),
    f"shifter.{MOUSE}.mlp.2.bias": ("full", "got: .*Missing key.*mlp.2.bias"),
    "core.features.layer0.conv.weight": (
        "full",
        "expected core.features.layer0 with conv_spatial, conv or hermite_conv",
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_weights_are_named(tmp_path: Path, name: str) -> None:
    kind, reason = MISSING[name]
    state = state_of(kind)
    del state[name]
    with pytest.raises(ValueError, match=rf"final\.pth: expected the published names and shapes, .*{reason}"):
        load_sensorium2023(saved(tmp_path, state), MOUSE)


def test_the_mouse_is_named_and_its_readout_read(tmp_path: Path) -> None:
    path = saved(tmp_path, state_of("full"))
    for mouse, neurons in MICE.items():
        assert len(load_sensorium2023(path, mouse).spec.neuron_ids) == neurons
    for wrong in ("", "dynamic29712-5-9", "dynamic29515"):
        with pytest.raises(ValueError, match=r"expected a readout of mouse .*, got those of dynamic29515.*29623.*name"):
            load_sensorium2023(path, wrong)


def test_neurons_are_counted_and_named(tmp_path: Path) -> None:
    encoder = built("full", tmp_path)
    assert isinstance(encoder, Unnamed)
    assert encoder.for_neurons(tuple(range(50, 57))).spec.neuron_ids == tuple(range(50, 57))
    with pytest.raises(ValueError, match=r"expected 7 as in the readout of mouse dynamic29623.*, got 4"):
        encoder.for_neurons((1, 2, 3, 4))


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    encoder = built("factorised", tmp_path)
    movie, behavior = world(20)
    for other in (movie[..., :32], movie.expand(-1, 3, -1, -1, -1), movie[0]):
        with pytest.raises(ValueError, match=r"movie: expected \[B,1,T,36,64\], got"):
            encoder(other, behavior)
    for other in (None, behavior[..., :-1], behavior[:, :2]):
        with pytest.raises(ValueError, match=r"behavior: expected \(1, 4, 20\), got"):
            encoder(movie, other)


def test_frozen_weights_get_no_gradient(tmp_path: Path) -> None:
    encoder = built("gru", tmp_path)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    movie, behavior = world(3)
    encoder(movie.requires_grad_(), behavior).sum().backward()
    assert movie.grad is not None and bool(movie.grad.any())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("ran",)


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, state_of("full") | {"x": _Evil()})
    with pytest.raises(ValueError, match="nothing was run"):
        load_sensorium2023(path, MOUSE)
    assert not (tmp_path / "ran").exists()
