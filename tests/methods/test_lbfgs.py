"""Batched L-BFGS and the first-order optimisers."""

import numpy as np
import pytest
import torch
from scipy.optimize import rosen, rosen_der

from recon.methods.optimise.first_order import Adam, Evaluation, Momentum
from recon.methods.optimise.lbfgs import Lbfgs, two_loop


def rosenbrock(x: torch.Tensor, samples: torch.Tensor | None = None) -> Evaluation:
    values = torch.tensor([rosen(row) for row in x.numpy()])
    return Evaluation(values, torch.from_numpy(np.stack([rosen_der(row) for row in x.numpy()])))


def run(optimiser, x: torch.Tensor, steps: int, evaluate=rosenbrock) -> torch.Tensor:
    state = optimiser.start(x)
    for _ in range(steps):
        x, inner, _ = optimiser.step(x, state, evaluate)
        state = state | inner
    return x


def test_solves_rosenbrock() -> None:
    x = torch.tensor([[-1.2, 1.0, 0.3], [2.0, -1.0, 1.5]], dtype=torch.float64)
    assert torch.allclose(run(Lbfgs(), x, 150), torch.ones(2, 3, dtype=torch.float64), atol=1e-3)


def test_a_batch_moves_as_its_samples_alone() -> None:
    x = torch.tensor([[-1.2, 1.0], [40.0, -3.0], [1.0, 1.0]], dtype=torch.float64)
    together = run(Lbfgs(), x, 20)
    alone = torch.cat([run(Lbfgs(), sample[None], 20) for sample in x])
    assert torch.allclose(together, alone, rtol=1e-9)


def test_the_objective_never_rises() -> None:
    x = torch.tensor([[-1.2, 1.0], [30.0, -3.0]], dtype=torch.float64)
    optimiser, last = Lbfgs(), torch.full((2,), torch.inf, dtype=torch.float64)
    state = optimiser.start(x)
    for _ in range(30):
        x, inner, value = optimiser.step(x, state, rosenbrock)
        assert bool((value <= last).all())
        state, last = state | inner, value


def test_the_line_search_asks_only_for_samples_that_still_wait() -> None:
    """And what an objective says of the others then changes nothing."""
    asked = []

    def only(x: torch.Tensor, samples: torch.Tensor | None = None) -> Evaluation:
        found = rosenbrock(x)
        if samples is None:
            return found
        asked.append(samples.tolist())
        value, gradient = found.value.where(samples, torch.nan), found.gradient.where(samples[:, None], torch.nan)
        return Evaluation(value, gradient)

    x = torch.tensor([[-1.2, 1.0], [40.0, -3.0], [1.0, 1.0]], dtype=torch.float64)
    expected = run(Lbfgs(), x, 20)
    assert torch.equal(run(Lbfgs(), x, 20, only), expected)
    assert [True, False, False] in asked and all(any(samples) and not all(samples) for samples in asked)


def test_what_has_settled_costs_nothing_and_stays() -> None:
    """Where gradients are a little off a sample soon finds nothing lower; it must not hold up one that still does."""
    weights, calls = torch.tensor([1.0, 7.0, 60.0]), []

    def bowl(x: torch.Tensor, samples: torch.Tensor | None = None) -> Evaluation:
        calls.append(len(x))
        return Evaluation((weights * x.square()).sum(1), 2 * weights * x + 1e-3)

    x, optimiser, steps = torch.tensor([[0.0, 0.0, 0.0], [30.0, 20.0, 10.0]]), Lbfgs(), 0
    state = optimiser.start(x)
    while not optimiser.done(state) and steps < 100:
        x, inner, _ = optimiser.step(x, state, bowl)
        state, steps = state | inner, steps + 1
        if steps == 2:
            assert state["settled"].tolist() == [True, False], "the first sample began in its minimum"
    assert 5 < steps < 100 and not bool(x[0].any()) and 0 < float(x[1].abs().max()) < 0.05
    before = len(calls)
    again, _, _ = optimiser.step(x, state, bowl)
    assert torch.equal(again, x) and len(calls) == before
    unmarked = state | {"settled": torch.zeros(2, dtype=torch.bool)}
    assert torch.equal(optimiser.step(x, unmarked, bowl)[0], x), "without the mark it would try in vain"
    assert len(calls) == before + optimiser.backtracks


def test_two_loop_is_the_dense_bfgs_matrix() -> None:
    """H ← (I − ρsyᵀ)H(I − ρysᵀ) + ρssᵀ, Nocedal & Wright (2006), equation 6.17."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    hessian = basis @ basis.T + torch.eye(6, dtype=torch.float64)
    s = torch.randn(3, 1, 6, generator=generator, dtype=torch.float64)
    y = s @ hessian
    curvature = (s * y).sum(2)
    dense = torch.eye(6, dtype=torch.float64) * (curvature[2] / (y[2] ** 2).sum())
    for si, yi, c in zip(s[:, 0], y[:, 0], curvature[:, 0], strict=True):
        left = torch.eye(6, dtype=torch.float64) - torch.outer(si, yi) / c
        dense = left @ dense @ left.T + torch.outer(si, si) / c
    g = torch.randn(1, 6, generator=generator, dtype=torch.float64)
    assert torch.allclose(two_loop(g, s, y, curvature), g @ dense)


def test_adam_is_torchs() -> None:
    x = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    leaf = x.clone().requires_grad_(True)
    reference = torch.optim.Adam([leaf], lr=0.05)
    for _ in range(25):
        leaf.grad = rosenbrock(leaf.detach())[1]
        reference.step()
    assert torch.allclose(run(Adam(0.05), x, 25), leaf.detach(), atol=1e-12)


def test_momentum_follows_the_published_schedule() -> None:
    """Written out from the published loop: warm-up over 10, first update nothing, Adam's corrections, no v."""
    expected, m = np.zeros(3), np.zeros(3)
    gradient = np.array([1.0, -2.0, 0.5])
    for i in range(14):
        # The first update is zero: the unmoved variable is not evaluated again, its gradient serves twice.
        m = 0.9 * m + 0.1 * gradient * max(i, 1)
        rate = 7.0 * min(i / 10, 1) * np.sqrt(1 - 0.999 ** (i + 1)) / (1 - 0.9 ** (i + 1))
        expected = expected - rate * m / (1 - 0.9 ** (i + 1))
        if i == 0:
            assert np.array_equal(expected, np.zeros(3))
    steps = iter(range(14))

    def evaluate(x: torch.Tensor) -> Evaluation:
        return Evaluation(torch.zeros(1, dtype=torch.float64), torch.from_numpy(gradient * (1 + next(steps)))[None])

    moved = run(Momentum(7.0), torch.zeros(1, 3, dtype=torch.float64), 14, evaluate)
    assert moved[0].numpy() == pytest.approx(expected)
