"""The data step of splitting methods: the movie near a guess that explains the responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative
from recon.methods.optimise.first_order import Evaluation, terms_in
from recon.methods.optimise.lbfgs import Lbfgs
from recon.methods.optimise.parameterise import Whitened
from recon.priors.spectrum import Spectrum, cosine_transform
from recon.problem.problem import Problem


@dataclass(frozen=True)
class DataStep:
    """x = argmin beta·misfit(x) + ½‖x − guess‖² / C, in `steps` steps of `optimiser` in variables whitened by C.

    With beta 0 the movie is the guess, without an encoder evaluation.
    """

    beta: NonNegative = 1.0
    steps: Count = 5
    optimiser: Lbfgs = field(default_factory=Lbfgs)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.beta < 0:
            raise InputError(
                f"data step: expected at least 1 step and beta of at least 0, got {self.steps} and {self.beta:g}; "
                "raise them"
            )

    @property
    def passes(self) -> int:
        """Planned passes of the encoder."""
        return self.steps + 1 if self.beta else 0

    def __call__(
        self, problem: Problem, guess: Tensor, covariance: Tensor, *, start: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the movie `[B,C,T,H,W]`, not clipped, and its terms, starting from `start` or from the guess.

        `covariance` `[T,H,W]` is that of the cosine coefficients.
        """
        if not self.beta:
            nothing = torch.zeros(len(guess), device=guess.device)
            return guess, {"misfit": nothing, "distance": nothing, "objective": nothing}
        x = Whitened(problem.shape, Spectrum(covariance, guess)).to(guess.device)
        x.fit(guess if start is None else start)
        z = x.variable.data
        evaluate, memory = partial(self._evaluate, problem, x), self.optimiser.start(z)
        for _ in range(self.steps):
            z, inner, _ = self.optimiser.step(z, memory, evaluate)
            memory |= inner
        x.variable.data = z
        return x().detach(), terms_in(memory) | {"objective": memory["value"]}

    def _evaluate(self, problem: Problem, x: Whitened, z: Tensor, samples: Tensor | None = None, /) -> Evaluation:
        """Return beta·misfit + ½‖z‖² `[B]` and its gradient in z; with `samples` `[B]`, of these alone."""
        x.variable.data = z
        misfit, pull = problem.of_samples(x(), samples, Problem.value_and_gradient)
        terms = {"misfit": self.beta * misfit, "distance": x.prior()}
        gradient = self.beta * x.get_buffer("scale") * cosine_transform(pull) + z
        return Evaluation(terms["misfit"] + terms["distance"], gradient, terms)


def left_uncertain(power: Tensor, level: float) -> Tensor:
    """Return the posterior variance Pσ²/(P+σ²) of a Gaussian of power P observed in noise of standard deviation σ.

    >>> import torch
    >>> left_uncertain(torch.tensor([1.0, torch.inf]), 1.0)
    tensor([0.5000, 1.0000])
    """
    return 1 / (1 / power + 1 / level**2)
