"""Passes recomputed in the backward direction: equal sums and gradients, equal precision, constant memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from worlds import bauer as bauer_worlds

from recon.encoders.dwiseneuro.passes import in_passes

PASSES = [slice(4, 10), slice(2, 8), slice(0, 6)]


def sums(movie: Tensor, behavior: Tensor) -> Tensor:
    """Nonlinear in both arguments; a matrix product makes it depend on autocast."""
    return (movie.flatten(3).mean(1) @ torch.linspace(-1, 1, 12)[:, None]).transpose(1, 2).tanh() * behavior.exp()


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    movie = torch.rand(2, 1, 10, 3, 4, generator=generator)
    return movie.requires_grad_(True), torch.rand(2, 5, 10, generator=generator).requires_grad_(True)


@pytest.mark.parametrize("lowered", [False, True])
def test_computing_again_changes_nothing(lowered: bool) -> None:
    found = []
    for again in (False, True):
        movie, behavior = inputs()
        with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
            total = in_passes(sums, movie, behavior, PASSES, again=again)
        found.append((total, *torch.autograd.grad((total**2).sum(), (movie, behavior))))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=0.02 if lowered else 1e-6)
    assert torch.equal(found[1][0], found[0][0])


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    movie, behavior = inputs()
    total = in_passes(sums, movie, behavior.detach(), PASSES, again=True)
    expected = in_passes(sums, movie, behavior.detach(), PASSES, again=False)
    gradients = [torch.autograd.grad(each.sum(), movie)[0] for each in (total, expected)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_no_pass_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        in_passes(sums, *inputs(), [], again=False)


def test_weights_that_learn_get_their_gradients() -> None:
    gradients = []
    for checkpointing in ("always", "never"):
        encoder = bauer_worlds.narrow_encoder().requires_grad_(True)
        encoder.checkpointing = checkpointing
        movie = torch.rand(1, 1, 34, 36, 64, generator=torch.Generator().manual_seed(1))
        encoder(movie, bauer_worlds.World(34, 1).behavior[None]).sum().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()])
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients[0])
    torch.testing.assert_close(gradients[0], gradients[1])
