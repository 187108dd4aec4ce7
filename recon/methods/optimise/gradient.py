"""Encoder input optimisation: the movie is optimised until predicted activity matches recorded activity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from recon.encoders.canvas import centred
from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, NonNegative
from recon.methods.artefacts import load_artefact
from recon.methods.base import POSING, Method, fitted, last_iterate
from recon.methods.facts import ENCODER, NOTHING, SPECTRUM, Sees, Strength, united
from recon.methods.optimise.first_order import Adam, Evaluation, Optimiser, terms_in
from recon.methods.optimise.parameterise import Parameterisation, Pixels, Pyramid, Whitened, power_law
from recon.methods.optimise.stopping import SelectionStop
from recon.methods.optimise.subclip_steps import SubClips
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.energies import weighted_energies
from recon.priors.spectrum import Spectrum, estimate_spectrum, residual_spectrum
from recon.problem.problem import Problem
from recon.types import Iterate, State

RESIDUALS = "residuals of another method on validation clips"
POWER_LAW = "a 1/f spectrum"
EVERYTHING = ("neurons", "encoders", "frames", "seed", "validation")
"""Dependencies of another method's residuals."""


@dataclass(frozen=True)
class Gradient:
    """Minimise beta·misfit + prior·½‖z‖² + Σ weight·energy over the variable of a parameterisation.

    `parameterisation`: "pixels", "spectrum" (cosine coefficients whitened by the training movies' spectrum),
    "power_law" (the same with a 1/f amplitude, nothing learnt) or "pyramid". The start is `start_grey` everywhere, the
    prior's mean for whitened variables, or another method's movie. `centre` centres the prior of "spectrum" on another
    method's movie, with the spectrum of that method's residuals on validation clips. `subclips` replaces the misfit's
    gradient by the published average of unit gradients. `canvas` optimises the encoder's whole canvas, border included;
    the movie is the part inside the border. `stop` keeps the iterate that best predicts the selection neurons. The
    method ends early when the optimiser finds nothing lower for any sample.

    An iterate's terms are those of its own movie before clipping to [0,1]. Adam and momentum therefore evaluate the
    movie after each step, which the next step reuses: N iterations cost N + 1 evaluations, or N where the first step
    has length 0 (the published warm-up).
    """

    title: ClassVar[str] = "encoder input optimisation"
    strength: ClassVar[Strength | None] = Strength("beta", (0.1, 0.3, 1.0, 3.0))

    iterations: Count = 20
    parameterisation: Literal["pixels", "spectrum", "power_law", "pyramid"] = "pixels"
    optimiser: Optimiser = field(default_factory=Adam)
    subclips: SubClips | None = None
    canvas: bool = False
    beta: NonNegative = 1.0
    prior: NonNegative = 0.0
    energies: Mapping[str, NonNegative] = field(default_factory=dict)
    start: Method | None = None
    start_grey: Fraction = 0.5
    centre: Method | None = None
    stop: SelectionStop | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        if self.canvas and self.parameterisation == "spectrum":
            raise InputError(
                "canvas: expected pixels, power_law or pyramid, got spectrum, which is learnt from frames without a "
                "border; move the frames alone"
            )
        if self.centre is not None and self.parameterisation != "spectrum":
            raise InputError(
                f"centre: expected parameterisation spectrum, whose prior has a centre, got {self.parameterisation}; "
                "use start for another one"
            )

    @property
    def iterates(self) -> int:
        """One per iteration."""
        return self.iterations

    @property
    def sees(self) -> Sees:
        """What decides the movie; the centre replaces the training movies by its residuals."""
        known = {"spectrum": SPECTRUM if self.centre is None else RESIDUALS, "power_law": POWER_LAW}
        learnt = (known[self.parameterisation],) if self.parameterisation in known else ()
        inner = (method.sees for method in (self.start, self.centre) if method is not None)
        return united(ENCODER if self.beta or self.stop else NOTHING, Sees(learnt=learnt), *inner)

    @property
    def needs(self) -> Needs:
        """Training clips for a spectrum, or validation clips for residuals around a centre."""
        learnt = self.parameterisation == "spectrum"
        centred_on = self.centre is not None
        return Needs(clips=2 * (learnt and not centred_on), validation=centred_on, canvas=self.canvas)

    @property
    def separable(self) -> bool:
        """False with a stop rule, which ends a batch together."""
        return self.stop is None and all(method.separable for method in (self.start, self.centre) if method is not None)

    def fit(self, training: TrainingSet) -> Gradient:
        """Fit the inner methods; estimate the spectrum of training clips or of residuals around the centre."""
        ready = replace(
            self,
            start=self.start and fitted(self.start, training),
            centre=self.centre and fitted(self.centre, training),
        )
        if self.parameterisation != "spectrum":
            return ready
        centre = ready.centre
        if centre is None:
            return replace(ready, artefact=movie_spectrum(training))

        def learn(checkpoint: Path) -> dict[str, Tensor]:
            return _as_artefact(residual_spectrum(residuals(centre, training)))

        return replace(
            ready, artefact=training.artefact("spectrum", self.centre, learn, code=[__name__, POSING], uses=EVERYTHING)
        )

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the movie after every step."""
        posed = problem.on_canvas() if self.canvas else problem
        centre = self._centre(posed, generator, state)
        x = self.build(posed, **centre)
        optimiser: Optimiser = self.optimiser
        if state:
            x.variable.data, memory = state["variable"].clone(), dict(state)
        else:
            x.fit(self._start(posed, generator, **centre))
            memory = centre | optimiser.start(x.variable.data) | {"step": torch.zeros(1, dtype=torch.long)}
            memory |= self.stop.start(_framed(x(), problem)) if self.stop else {}
        for step in count(int(memory["step"]) + 1):
            if step > self.iterations or optimiser.done(memory) or (self.stop and self.stop.done(memory)):
                return
            evaluate = partial(self._evaluate, posed, x)
            moved, inner, objective = optimiser.step(x.variable.data, memory, evaluate, project=x.project)
            x.variable.data = moved
            memory |= inner | {"variable": moved, "step": torch.tensor([step])}
            movie, terms = _framed(x(), problem), terms_in(memory) | {"objective": objective}
            if self.stop:
                memory |= self.stop.watch(problem, movie, terms, memory, step=step)
                movie, terms = self.stop.best(memory)
            yield Iterate(movie, terms, dict(memory))

    def build(self, problem: Problem, *, centre: Tensor | None = None) -> Parameterisation:
        """Return the parameterisation of a problem's movie, on its device; a prior is centred on `centre`."""
        if self.parameterisation == "pyramid":
            return Pyramid(problem.shape).to(problem.device)
        if self.parameterisation == "pixels":
            return Pixels(problem.shape).to(problem.device)
        if self.parameterisation == "power_law":
            return Whitened(problem.shape, power_law(problem.shape).to(problem.device))
        learnt = load_artefact(self.artefact, method="gradient with a spectrum")
        spectrum = Spectrum(learnt["power"], learnt["mean"] if centre is None else centre)
        return Whitened(problem.shape, spectrum.to(problem.device))

    def _centre(self, problem: Problem, generator: torch.Generator, state: State | None) -> dict[str, Tensor]:
        if self.centre is None:
            return {}
        if state:
            return {"centre": state["centre"]}
        return {"centre": last_iterate(self.centre(problem, generator)).movie}

    def _start(self, problem: Problem, generator: torch.Generator, *, centre: Tensor | None = None) -> Tensor:
        if self.start is not None:
            started = last_iterate(self.start(replace(problem, size=None), generator))
            return centred(started.movie, problem.shape[-2:], fill=self.start_grey)
        if centre is not None:
            return centre
        if self.parameterisation == "spectrum":
            learnt = load_artefact(self.artefact, method="gradient with a spectrum")
            return learnt["mean"].to(problem.device).expand(problem.shape).clone()
        return torch.full(problem.shape, self.start_grey, device=problem.device)

    @torch.enable_grad()
    def _evaluate(
        self, problem: Problem, x: Parameterisation, variable: Tensor, samples: Tensor | None = None, /
    ) -> Evaluation:
        """Return the objective `[B]`, its gradient in the variable and every weighted term.

        With `samples` `[B]`, only these are evaluated.
        """
        x.variable.data = variable
        movie = x()
        source = self.subclips or _Whole()
        misfit, pull = problem.of_samples(movie.detach(), samples, source.value_and_gradient)
        others = weighted_energies(movie, dict(self.energies))
        if self.prior:
            others["prior"] = self.prior * x.prior()
        surrogate = self.beta * (pull * movie).sum() + sum((term.sum() for term in others.values()), movie.sum() * 0)
        (gradient,) = torch.autograd.grad(surrogate, x.variable)
        found = {"misfit": self.beta * misfit} | {name: term.detach() for name, term in others.items()}
        objective = self.beta * misfit + sum((term.detach() for term in others.values()), torch.zeros_like(misfit))
        return Evaluation(objective, gradient, found | {"gradient_norm": gradient.flatten(1).norm(dim=1)})


def _framed(movie: Tensor, problem: Problem) -> Tensor:
    """Return the movie in [0,1], without the border of a canvas."""
    return centred(movie.detach().clamp(0, 1), problem.shape[-2:])


@dataclass(frozen=True)
class _Whole:
    """The gradient of the whole clip's misfit."""

    def value_and_gradient(self, problem: Problem, movie: Tensor) -> tuple[Tensor, Tensor]:
        return problem.value_and_gradient(movie)


def residuals(method: Method, training: TrainingSet) -> Iterator[Tensor]:
    """Yield a fitted method's residuals on validation clips of the right length: truth − movie `[T,H,W]`."""
    posed = training.validation() if training.validation is not None else ()
    for problem, movie in (pair for pair in posed if pair[1].shape[2] == training.frames):
        last = last_iterate(method(problem, torch.Generator().manual_seed(training.seed)))
        for sample in movie.cpu() - last.movie.cpu():
            yield from sample


def movie_spectrum(training: TrainingSet) -> Path:
    """Return the artefact with the training movies' spectrum, shared by all methods that need it."""

    def learn(checkpoint: Path) -> dict[str, Tensor]:
        return _as_artefact(estimate_spectrum(training_clips(training)))

    return training.artefact("spectrum", "spectrum", learn, code=[__name__], uses=("frames",))


def _as_artefact(spectrum: Spectrum) -> dict[str, Tensor]:
    return {"power": spectrum.power, "mean": spectrum.mean}


def training_clips(training: TrainingSet) -> Iterator[Tensor]:
    """Yield clips `[T,H,W]` as long as those to be reconstructed from the training trials, overlapping by half."""
    frames = training.frames
    for trial in training.trials():
        for start in range(0, trial.movie.shape[1] - frames + 1, max(frames // 2, 1)):
            yield trial.movie[0, start : start + frames]
