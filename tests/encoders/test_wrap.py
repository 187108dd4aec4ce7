"""`wrap`: what users do wrong with a module, each answered at once by one sentence with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders import Spec, wrap
from recon.encoders.base import Unnamed
from recon.encoders.identity import is_users, state_hash

PLAIN = Spec((9, 12), (1, 2, 3))
CAUSAL = replace(PLAIN, context=(2, 0))
Forward = Callable[[Callable[[Tensor], Tensor], Tensor], object]


class Frames(nn.Module):
    """Rates `[B,3]` of frames `[B,C,9,12]`."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(channels, 2, 3), nn.Linear(140, 3)

    def forward(self, frames: Tensor) -> Tensor:
        rates: Tensor = self.out(torch.relu(self.conv(frames)).flatten(1))
        return rates


class Movies(nn.Module):
    """Rates `[B,3,T]` of movies, from three frames; `change` is applied to its own forward."""

    def __init__(self, change: Forward | None = None, *, padded: bool = True) -> None:
        super().__init__()
        self.conv, self.change, self.padded = nn.Conv3d(1, 3, (3, 9, 12)), change, padded
        self.register_buffer("count", torch.zeros(1))

    def forward(self, movie: Tensor) -> Any:
        return self.rates(movie) if self.change is None else self.change(self.rates, movie)

    def rates(self, movie: Tensor) -> Tensor:
        found: Tensor = self.conv(functional.pad(movie, (0, 0, 0, 0, 2, 0)) if self.padded else movie)
        return found[..., 0, 0]


class Running(Movies):
    """The same, with behavior `[B,K,T]`."""

    def forward(self, movie: Tensor, behavior: Tensor) -> Tensor:
        return self.rates(movie) + behavior.sum(1, keepdim=True)


class Counting(Movies):
    """Counts its calls in a buffer, in evaluation mode too."""

    def forward(self, movie: Tensor) -> Tensor:
        self.count += 1
        return self.rates(movie)


@torch.no_grad()
def frozen(rates: Callable[[Tensor], Tensor], movie: Tensor) -> Tensor:
    return rates(movie)


def in_place(rates: Callable[[Tensor], Tensor], movie: Tensor) -> Tensor:
    movie -= 0.5
    return rates(movie)


def own_contrast(rates: Callable[[Tensor], Tensor], movie: Tensor, least: float = 0.0) -> Tensor:
    axes = (1, 2, 3, 4)
    return rates((movie - movie.mean(axes, keepdim=True)) / (movie.std(axes, keepdim=True) + least))


def wrong() -> dict[str, tuple[Callable[[], object], str]]:
    return {
        "single frames": (lambda: wrap(Frames(), PLAIN), r"conv2d.*; call wrap\(\.\.\., frame_by_frame=True\)"),
        "frames of colour": (lambda: wrap(Frames(3), PLAIN), r"frame_by_frame=True\), and write Spec\(channels=3\)"),
        "colour": (lambda: wrap(Frames(3), PLAIN, frame_by_frame=True), r"; write Spec\(channels=3\)"),
        "whole movies": (
            lambda: wrap(Movies(), PLAIN, frame_by_frame=True),
            r"; call wrap\(\.\.\., frame_by_frame=False\)",
        ),
        "time first": (
            lambda: wrap(Movies(lambda rates, movie: rates(movie.transpose(1, 2))), CAUSAL),
            r"write an adapter with movie\.transpose\(1, 2\)",
        ),
        "no channels": (
            lambda: wrap(Movies(lambda rates, movie: rates(movie[:, None])), CAUSAL),
            r"write an adapter with movie\[:, 0\]",
        ),
        "size": (
            lambda: wrap(Frames(), replace(PLAIN, frame_size=(36, 64)), frame_by_frame=True),
            r"expected to take a movie \(2, 1, 9, 36, 64\).*compare the Spec",
        ),
        "neurons": (lambda: wrap(Movies(), replace(CAUSAL, neuron_ids=(1, 2))), r"got \(2, 3, 11\); give the Spec 3"),
        "order": (
            lambda: wrap(Movies(lambda rates, movie: rates(movie).transpose(1, 2)), CAUSAL),
            r"got \(2, 11, 3\); return rates\.transpose\(1, 2\)",
        ),
        "length": (lambda: wrap(Movies(padded=False), CAUSAL), r"pad the movie in time.*drops 2 frames"),
        "tuple": (lambda: wrap(Movies(lambda rates, movie: (rates(movie), 1)), CAUSAL), r"got a tuple; return the"),
        "double": (lambda: wrap(Movies().double(), CAUSAL), r"weights are torch\.float64: wrap\(module\.float\(\)"),
        "half rates": (
            lambda: wrap(Movies(lambda rates, movie: rates(movie).half()), CAUSAL),
            r"expected float32, got torch\.float16; return rates\.float\(\)",
        ),
        "context": (
            lambda: wrap(Movies(), PLAIN),
            r"got \(0, 0\) where .* on 2 before and 0 after; write context=\(2, 0",
        ),
        "no gradient": (lambda: wrap(Movies(frozen), CAUSAL), r"expected a gradient .*; remove no_grad"),
        "NaN": (lambda: wrap(Movies(own_contrast), CAUSAL), r"NaN or infinity in 3 of 3 neurons for a black movie"),
        "own contrast": (
            lambda: wrap(Movies(lambda rates, movie: own_contrast(rates, movie, 0.1)), CAUSAL),
            r"depend on the whole movie; normalise with constants",
        ),
        "batch": (
            lambda: wrap(Movies(lambda rates, movie: rates(movie - movie.mean())), CAUSAL),
            r"no influence of one clip of a batch on another",
        ),
        "dropout": (
            lambda: wrap(Movies(lambda rates, movie: functional.dropout(rates(movie))), CAUSAL),
            r"expected the same for the same movie.*training=self\.training",
        ),
        "buffers": (lambda: wrap(Counting(), CAUSAL), r"got others in 'module\.count'"),
        "in place": (lambda: wrap(Movies(in_place), CAUSAL), r"write movie = movie - mean"),
        "behavior missing": (lambda: wrap(Running(), CAUSAL), r"needs 'behavior' too; name the behavior channels"),
        "behavior beside": (
            lambda: wrap(Movies(), replace(CAUSAL, behavior=("running_speed",))),
            r"takes a movie alone, got \('running_speed',\)",
        ),
        "text": (lambda: wrap(Movies(), replace(CAUSAL, behavior="pupil_x")), r"write \('pupil_x',\)"),
        "channel": (lambda: wrap(Movies(), replace(CAUSAL, behavior=("running",))), r"did you mean 'running_speed'"),
        "unit": (lambda: wrap(Movies(), replace(CAUSAL, response_transform="std")), r"'raw' or 'divided by std', got"),
        "twice": (lambda: wrap(Movies(), replace(CAUSAL, neuron_ids=(1, 2, 2))), r"each unit id once, got 2 twice"),
        "one number": (
            lambda: wrap(Movies(), replace(CAUSAL, context=2)),
            r"spec\.context: expected two whole numbers",
        ),
        "size 0": (lambda: wrap(Movies(), replace(CAUSAL, frame_size=(0, 12))), r"spec\.frame_size\[0\]: expected"),
        "class": (lambda: wrap(Movies, CAUSAL), r"got the class Movies; make an instance of it"),
        "function": (lambda: wrap(len, CAUSAL), r"expected a torch module, got builtin_function_or_method"),
        "encoder": (lambda: wrap(wrap(Movies(), CAUSAL), CAUSAL), r"got the encoder Wrapped; use it as it is"),
        "swapped": (lambda: wrap(CAUSAL, Movies()), r"spec: expected a Spec, got Movies"),
    }


WRONG = wrong()


@pytest.mark.parametrize("case", WRONG)
def test_a_module_that_does_not_fit_is_refused_with_the_remedy(case: str) -> None:
    make, said = WRONG[case]
    with pytest.raises(ValueError, match=said) as found:
        make()
    assert ": expected " in str(found.value) and ", got " in str(found.value) and "; " in str(found.value)


def test_a_dry_run_leaves_everything_as_it_was() -> None:
    """Modes, buffers and the random numbers of the process; also where the module is refused."""
    for module, spec in ((Movies(), CAUSAL), (Counting(), CAUSAL)):
        module.conv.eval()
        before, state = torch.get_rng_state(), {name: value.clone() for name, value in module.state_dict().items()}
        if isinstance(module, Counting):
            with pytest.raises(ValueError, match="buffers"):
                wrap(module, spec)
        else:
            assert wrap(module, spec).spec == spec
        assert module.training and not module.conv.training and torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
        assert all(value.grad is None for value in module.parameters())


def test_modules_in_training_mode_and_frozen_ones_are_wrapped_alike() -> None:
    module = nn.Sequential(nn.Flatten(1), nn.Dropout(), nn.Linear(108, 3))
    with torch.no_grad(), torch.inference_mode():
        assert wrap(module, PLAIN, frame_by_frame=True).training
    assert not wrap(module.eval().requires_grad_(False), PLAIN, frame_by_frame=True).training


def test_sizes_and_ids_of_numpy_and_torch_become_plain() -> None:
    made = wrap(Movies(), Spec(np.array([9, 12]), torch.arange(3), context=[2, 0]))  # what a user has at hand
    assert repr(made.spec) == repr(replace(CAUSAL, neuron_ids=(0, 1, 2)))


def test_neurons_in_recording_order_take_the_recordings_ids() -> None:
    ordered, named = wrap(Movies(), CAUSAL, in_recording_order=True), wrap(Movies(), CAUSAL)
    assert isinstance(ordered, Unnamed) and isinstance(named, Unnamed)
    assert ordered.for_neurons((7, 8, 9)).spec.neuron_ids == (7, 8, 9)
    assert named.for_neurons((7, 8, 9)).spec.neuron_ids == (1, 2, 3)
    with pytest.raises(ValueError, match="expected 3 as in the readout, got 2"):
        ordered.for_neurons((7, 8))


def test_attributes_of_a_users_module_count_in_its_identity() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 3, (9, 12))
    made = [
        wrap(nn.Sequential(conv, link, nn.Flatten(1)), PLAIN, frame_by_frame=True)
        for link in (nn.Softplus(1.0), nn.Softplus(1.0), nn.Softplus(2.0), nn.ELU(1.0))
    ]
    hashes = [state_hash(encoder) for encoder in made]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
    assert all(map(is_users, made))
