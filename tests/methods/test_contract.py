"""The contract table: every method × the tiny world."""

from pathlib import Path

import pytest
import torch
from worlds import linear as worlds

from recon.encoders.training.loop import Learning
from recon.methods import (
    METHODS,
    Alignment,
    Average,
    Convolutional,
    DeepEnsemble,
    DiffPir,
    Dps,
    Egg,
    FieldSum,
    Gradient,
    Latent,
    Library,
    Mean,
    Meicoder,
    OptimalLinear,
    PlugAndPlay,
    Posterior,
    ReconstructionEnsemble,
    RedDiff,
    Ridge,
    Sample,
    Smoothed,
    SplitGibbs,
    Sta,
    fitted,
)
from recon.methods.linear.lags import Lags
from recon.methods.neural.frame_network import FrameArchitecture
from recon.methods.neural.latent import Contrastive, Movies, RidgeReader
from recon.methods.neural.network import DecoderArchitecture
from recon.methods.neural.towers import TowerSettings
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.first_order import Adam, Momentum
from recon.methods.optimise.lbfgs import Lbfgs
from recon.methods.optimise.stopping import SelectionStop
from recon.methods.optimise.subclip_steps import SubClips
from recon.problem.problem import Problem
from recon.run.runner import reconstruct

LAGS = Lags(0, 3, 4)
MAP = Gradient(iterations=6, parameterisation="spectrum", optimiser=Lbfgs(memory=3), prior=1.0)
PUBLISHED = Gradient(iterations=8, optimiser=Momentum(0.5, warmup=2), subclips=SubClips(8, 4))
METHOD_TABLE = {
    "mean": Mean(),
    "sta": Sta(lags=LAGS, root=False),
    "ridge": Ridge(lags=LAGS, folds=3),
    "field_sum": FieldSum(lags=Lags(0, 3, 4)),
    "optimal_linear": OptimalLinear(lags=LAGS),
    "library": Library(window=4, stride=1, best=5),
    "library posterior": Library(window=5, stride=2, best=9, beta=0.5),
    "convolutional": Convolutional(
        DecoderArchitecture(2, 2, LAGS, (4, 6)), Learning(steps=6, validate_every=3), batch=2, frames=12, margin=2
    ),
    "convolutional distilled": Convolutional(
        DecoderArchitecture(2, 1, LAGS, (4,)), Learning(steps=4), batch=2, frames=12, margin=2, distilled=0.5
    ),
    "convolutional adversarial": Convolutional(
        DecoderArchitecture(2, 1, LAGS, (4,)), Learning(steps=4), batch=2, frames=12, margin=2, adversarial=0.1
    ),
    "meicoder": Meicoder(
        FrameArchitecture(2, 2, LAGS, 4, 3), Learning(steps=6, validate_every=3), batch=2, frames=12, margin=2
    ),
    "latent": Latent(Movies(worlds.autoencoder()), RidgeReader(lags=LAGS)),
    "latent contrastive": Latent(
        Movies(worlds.autoencoder()), Contrastive(8, LAGS, Learning(steps=4), batch=4, frames=8, dropout=0.0)
    ),
    "alignment": Alignment(
        TowerSettings(4, 6, 2, 8, 2, LAGS), Learning(steps=5, validate_every=3), batch=4, frames=(6, 8), window=4
    ),
    "gradient adam": Gradient(iterations=6, optimiser=Adam(0.02)),
    "gradient published": PUBLISHED,
    "gradient map": MAP,
    "gradient map from ridge": Gradient(
        iterations=4, parameterisation="spectrum", optimiser=Lbfgs(), prior=1.0, start=Ridge(lags=LAGS, folds=3)
    ),
    "gradient map around ridge": Gradient(
        iterations=5, parameterisation="spectrum", optimiser=Lbfgs(), prior=1.0, centre=Ridge(lags=LAGS, folds=3)
    ),
    "gradient pyramid with total variation": Gradient(
        iterations=5, parameterisation="pyramid", optimiser=Lbfgs(), energies={"total_variation": 0.1}
    ),
    "gradient power law": Gradient(iterations=5, parameterisation="power_law", optimiser=Adam(0.2), prior=0.5),
    "gradient stopped": Gradient(iterations=9, optimiser=Adam(0.02), stop=SelectionStop(every=2, patience=2)),
    "egg noisy": Egg(levels=4, scale=0.5),
    "dps noisy": Dps(levels=4),
    "split_gibbs noisy": SplitGibbs(iterations=5, burn=2, levels=2, langevin=2),
    "diffpir": DiffPir(levels=3, data=DataStep(steps=3), noise=0.0),
    "diffpir noisy": DiffPir(levels=3, data=DataStep(steps=2), start=Ridge(lags=LAGS, folds=3)),
    "diffpir carried noisy": DiffPir(levels=3, data=DataStep(steps=2), carried=True),
    "red_diff noisy": RedDiff(iterations=4),
    "sample noisy": Sample(levels=3, noise=0.5),
    "sample noisy from ridge": Sample(levels=2, highest=0.3, start=Ridge(lags=LAGS, folds=3)),
    "posterior noisy": Posterior(DiffPir(levels=2, data=DataStep(steps=2)), 3),
    "plug_and_play": PlugAndPlay(iterations=4),
    "smoothed": Smoothed(PUBLISHED, (1.0, 0.5, 0.5)),
    "average": Average({"map": MAP, "ridge": Ridge(lags=LAGS, folds=3)}, {"map": 1.0, "ridge": 3.0}),
    "ensemble": ReconstructionEnsemble(MAP),
    "deep_ensemble": DeepEnsemble(
        Convolutional(DecoderArchitecture(2, 2, LAGS, (4,)), Learning(steps=3), batch=2, frames=12, margin=2), (0, 3)
    ),
}
ITERATIVE = [name for name in METHOD_TABLE if name.startswith(("gradient", "smoothed")) and "stopped" not in name]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> dict:
    training = worlds.training(tmp_path_factory.mktemp("artefacts"))
    return {name: fitted(method, training) for name, method in METHOD_TABLE.items()}


def iterates(method, problem: Problem, state=None) -> list:
    return list(method(problem, torch.Generator().manual_seed(0), state))


def test_every_registered_method_is_in_the_table() -> None:
    assert {type(method) for method in METHOD_TABLE.values()} == set(METHODS.values())


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
    if "stopped" in name:
        pytest.skip("the stop rule ends a batch together; what it keeps per sample is tested below")
    if "noisy" in name:
        pytest.skip("noise is drawn for the whole batch; without noise the method is tested")
    together = iterates(ready[name], problem)[-1].movie
    observation = problem.observations[0]
    for i in range(2):
        measured = observation.measurement.sample(torch.tensor([i]))
        single = Problem(problem.fidelity, (type(observation)(observation.encoder, measured),))
        assert torch.allclose(iterates(ready[name], single)[-1].movie[0], together[i], atol=2e-3)


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
