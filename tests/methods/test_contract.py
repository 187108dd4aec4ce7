"""The contract table: every method × the tiny world."""

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
import torch
from worlds import linear as worlds
from worlds.interrupts import interrupt_at, plain, resumed
from worlds.method_table import ITERATIVE, METHOD_TABLE
from worlds.toy_method import ToyMethod

from recon.methods import METHODS, DiffPir, Gradient, Method, PlugAndPlay, RedDiff, fitted
from recon.methods.base import passes_of
from recon.methods.optimise.first_order import Adam
from recon.methods.optimise.stopping import SelectionStop
from recon.priors.energies import weighted_energies
from recon.problem.fidelities.independent import Poisson
from recon.problem.problem import Problem
from recon.run.runner import reconstruct
from recon.types import Iterate


def iterates(method, problem: Problem, state=None) -> list:
    return list(method(problem, torch.Generator().manual_seed(0), state))


def test_every_registered_method_is_in_the_table() -> None:
    assert {type(method) for method in METHOD_TABLE.values()} == set(METHODS.values())


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_the_facts_of_a_method_are_declared(name: str) -> None:
    method = METHOD_TABLE[name]
    assert isinstance(method, Method) and method.title == type(method).title.strip() != ""
    assert method.separable == ("noisy" not in name and "stopped" not in name)
    facts = method.strength
    if facts is not None:
        off = method
        assert tuple(sorted(facts.values)) == facts.values and facts.values[0] >= 0 and len(facts.values) > 1
        for inner in facts.path[:-1]:
            off = getattr(off, inner)
        assert isinstance(getattr(off, facts.path[-1]), float)


def test_a_method_that_declares_nothing_fails() -> None:
    @dataclass(frozen=True)
    class Undeclared:
        def __call__(self, problem: Problem, generator: torch.Generator, state: object = None) -> object: ...

    assert not isinstance(Undeclared(), Method)


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_shape_range_finiteness_and_determinism(name: str, ready: dict) -> None:
    problem = worlds.problem()
    run, again = iterates(ready[name], problem), iterates(ready[name], problem)
    for iterate in run:
        assert iterate.movie.shape == problem.shape
        assert bool(torch.isfinite(iterate.movie).all())
        assert 0 <= float(iterate.movie.min()) <= float(iterate.movie.max()) <= 1
        assert not iterate.movie.requires_grad
        assert all(term.shape == (2,) for term in iterate.terms.values())
    assert torch.equal(run[-1].movie, again[-1].movie)


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_stopped_at_k_and_started_again_equals_uninterrupted(name: str, ready: dict) -> None:
    problem = worlds.problem()
    whole = iterates(ready[name], problem)
    for k in range(1, len(whole) + 1):
        generator = torch.Generator().manual_seed(0)
        running = ready[name](problem, generator)
        stopped = [next(running) for _ in range(k)][-1]
        state = {key: value.clone() for key, value in stopped.state.items()}
        rest = list(ready[name](problem, generator, state))
        assert len(rest) == len(whole) - k
        if rest:
            assert torch.equal(rest[-1].movie, whole[-1].movie)


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_encoder_and_global_state_are_untouched(name: str, ready: dict) -> None:
    problem = worlds.problem()
    before = {key: value.clone() for key, value in problem.observations[0].encoder.state_dict().items()}
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    for _ in ready[name](problem, torch.Generator().manual_seed(0)):
        assert torch.is_grad_enabled()
    assert torch.equal(torch.rand(3), expected)
    after = problem.observations[0].encoder.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", ITERATIVE)
def test_energy_falls(name: str, ready: dict) -> None:
    problem = worlds.problem()
    run = iterates(ready[name], problem)
    if "objective" in run[-1].terms:
        assert bool((run[-1].terms["objective"] < run[0].terms["objective"]).all())
    assert bool((problem.energy(run[-1].movie) < problem.energy(run[0].movie)).all())


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_a_batch_gives_what_its_samples_give_alone(name: str, ready: dict) -> None:
    problem = worlds.problem(2)
    if not ready[name].separable:
        pytest.skip("noise is drawn for the whole batch, or a stop rule ends it together: the class declares it")
    together = iterates(ready[name], problem)[-1].movie
    observation = problem.observations[0]
    for i in range(2):
        measured = observation.measurement.sample(torch.tensor([i]))
        single = Problem(problem.fidelity, (type(observation)(observation.encoder, measured),))
        assert torch.allclose(iterates(ready[name], single)[-1].movie[0], together[i], atol=2e-3)


def expected_terms(method: object, problem: Problem, iterate: Iterate) -> dict[str, torch.Tensor]:
    """Return the energies of an iterate's own movie before it is clipped; NaN where a clipped movie has lost them."""
    state, movie, terms = iterate.state, iterate.movie, dict[str, torch.Tensor]()
    if isinstance(method, Gradient) and method.stop is None:
        x = method.build(problem, centre=state.get("centre"))
        x.variable.data = state["variable"]
        movie = x().detach()
        terms = weighted_energies(movie, dict(method.energies)) | (
            {"prior": method.prior * x.prior()} if method.prior else {}
        )
    movie = state["x"] if isinstance(method, PlugAndPlay) else movie
    movie = state["variable"] if isinstance(method, DiffPir | RedDiff) else movie
    subclips = method.subclips if isinstance(method, Gradient) else None
    misfit = subclips.value_and_gradient(problem, movie)[0] if subclips else problem.energy(movie)
    # Of samplers and methods inside others only the clipped movie is known here.
    lost = ((movie is iterate.movie) & ((movie <= 0) | (movie >= 1))).flatten(1).any(1) & ("misfit" in iterate.terms)
    lost &= not (isinstance(method, Gradient) and method.stop)
    misfit = misfit.where(~lost, torch.nan)
    distance = iterate.terms.get("distance", torch.zeros(len(movie)))
    objective = misfit + sum(terms.values(), torch.zeros(len(movie))) + distance
    whole = {"objective": objective} if isinstance(method, Gradient | DiffPir | PlugAndPlay | RedDiff) else {}
    return {"misfit": misfit, "selection_misfit": problem.selection_misfit(movie)} | whole | terms


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_the_terms_of_an_iterate_are_those_of_its_movie(name: str, ready: dict) -> None:
    problem, compared, promised = worlds.problem(), set(), set()
    for iterate in iterates(ready[name], problem):
        expected = expected_terms(ready[name], problem, iterate)
        promised |= expected.keys() & iterate.terms.keys()
        for key in expected.keys() & iterate.terms.keys():
            known = ~expected[key].isnan()
            compared |= {key} if bool(known.any()) else set()
            torch.testing.assert_close(iterate.terms[key][known], expected[key][known], rtol=1e-4, atol=1e-4)
    assert compared == promised
    assert compared or name in ("smoothed", "posterior noisy"), "whose terms are named after another movie"


@dataclass(frozen=True)
class Marked:
    """A Poisson misfit that is NaN for samples with a mark in a neuron that nobody fits."""

    def __call__(self, rates: torch.Tensor, responses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        marked = (responses > 900).flatten(1).any(1)
        return Poisson()(rates, responses, mask) * torch.where(marked, torch.nan, 1.0)


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_a_sample_that_is_not_finite_leaves_the_others_alone(name: str, ready: dict) -> None:
    fine = replace(worlds.problem(), fidelity=Marked())
    (seen,) = fine.observations
    responses = seen.measurement.responses.clone()
    responses[0, -1] = 999.0
    broken = replace(fine, observations=(replace(seen, measurement=replace(seen.measurement, responses=responses)),))
    expected, found = reconstruct(ready[name], fine), reconstruct(ready[name], broken)
    assert found.statuses == ("diverged", "finished") and expected.statuses == ("finished", "finished")
    assert bool(torch.isfinite(found.movie).all())
    if "stopped" not in name:  # the stop rule ends a batch together
        torch.testing.assert_close(found.movie[1], expected.movie[1], rtol=0, atol=2e-3)
    for key, value in expected.terms.items():
        assert bool(torch.isfinite(found.terms[key][1])) and bool(torch.isfinite(value).all())


def test_a_method_that_is_added_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file and one line of the registry: the contract holds without another edit."""
    monkeypatch.setitem(METHOD_TABLE, "toy", ToyMethod())
    ready = {"toy": fitted(ToyMethod(), worlds.training(tmp_path / "artefacts"))}
    test_the_facts_of_a_method_are_declared("toy")
    test_shape_range_finiteness_and_determinism("toy", ready)
    test_stopped_at_k_and_started_again_equals_uninterrupted("toy", ready)
    test_encoder_and_global_state_are_untouched("toy", ready)
    test_a_batch_gives_what_its_samples_give_alone("toy", ready)
    test_the_terms_of_an_iterate_are_those_of_its_movie("toy", ready)
    test_the_runner_counts_and_resumes("toy", ready, tmp_path)


def test_the_stop_rule_keeps_the_best_selection_misfit_per_sample(ready: dict) -> None:
    problem = worlds.problem(3)
    plain = Gradient(iterations=9, optimiser=Adam(0.05))
    watched = [iterate for step, iterate in enumerate(iterates(plain, problem), 1) if step == 1 or step % 2 == 0]
    misfits = torch.stack([problem.selection_misfit(iterate.movie) for iterate in watched])
    stopped = iterates(Gradient(iterations=9, optimiser=Adam(0.05), stop=SelectionStop(2, 99)), problem)[-1]
    assert torch.allclose(problem.selection_misfit(stopped.movie), misfits.amin(0), rtol=1e-5)


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_the_runner_counts_and_resumes(name: str, ready: dict, tmp_path: Path) -> None:
    problem = worlds.problem()
    whole = reconstruct(ready[name], problem)
    assert whole.status == "finished"
    seen = problem.meter.frames
    iterates(ready[name], problem)
    assert whole.evaluations == pytest.approx((problem.meter.frames - seen) / (2 * worlds.FRAMES))
    assert whole.evaluations > 0
    checkpoint = tmp_path / "state.safetensors"

    def interrupt(step: int, iterate: object, rates: object) -> None:
        if step == max(whole.iterations // 2, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct(ready[name], problem, trace=interrupt, checkpoint=checkpoint)
    resumed = reconstruct(ready[name], problem, checkpoint=checkpoint)
    assert torch.equal(resumed.movie, whole.movie)
    assert resumed.evaluations == pytest.approx(whole.evaluations)
    assert resumed.denoiser_evaluations == whole.denoiser_evaluations
    assert (whole.denoiser_evaluations > 0) == ("denoiser=" in repr(ready[name]))
    assert resumed.iterations == whole.iterations


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_interrupted_inside_an_evaluation_equals_uninterrupted(name: str, ready: dict, tmp_path: Path) -> None:
    """Movie, terms, counts and uncertainty, to the last bit; before the first iterate nothing is saved or counted."""
    problem, checkpoint = worlds.problem(), tmp_path / "state.safetensors"
    with interrupt_at(0) as evaluations:
        whole = reconstruct(ready[name], problem)
    with interrupt_at(1), pytest.raises(KeyboardInterrupt):
        reconstruct(ready[name], problem, checkpoint=checkpoint)
    assert not checkpoint.exists()
    moment = Random(name).randint(1, evaluations[0])
    assert plain(resumed(ready[name], problem, [moment], checkpoint)) == plain(whole), f"evaluation {moment}"


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_a_method_takes_about_the_passes_that_it_plans(name: str, ready: dict) -> None:
    problem, planned = worlds.problem(), passes_of(METHOD_TABLE[name])
    iterates(ready[name], problem)
    samples, frames = problem.shape[0], problem.shape[2]
    assert 0.5 * planned.encoder <= problem.meter.frames / (samples * frames) <= 2 * planned.encoder + 1
    assert problem.meter.denoised / samples == planned.denoiser
