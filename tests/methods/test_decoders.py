"""Decoders from responses: where they put neurons, what they do to responses, and that they learn."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from worlds import linear as worlds
from worlds.bench import configuration

from recon import cli, config
from recon.encoders.training.clips import TrainingClip
from recon.encoders.training.loop import Learning
from recon.methods import Convolutional, Mean, Meicoder, Ridge
from recon.methods.base import responses_of
from recon.methods.linear.lags import Lags
from recon.methods.neural import chunks as examples_module
from recon.methods.neural.chunks import chunk, places, recorded
from recon.methods.neural.critic import Critic, rivalry
from recon.methods.neural.frame_network import FrameArchitecture, rivals
from recon.methods.neural.most_exciting import most_exciting
from recon.methods.neural.network import DecoderArchitecture, ResidualBlock, initialised
from recon.methods.neural.read_in import GridWeights, ReadIn, Transform
from recon.methods.neural.weights_file import SHIPPED, save_decoder
from recon.study.benchmark import benchmark

LAGS = Lags(0, 3, 4)
TINY = DecoderArchitecture(2, 2, LAGS, (8, 8))


def test_responses_are_standardised_and_silent_neurons_stay_silent() -> None:
    transform, responses = Transform(3), torch.rand(3, 500, generator=torch.Generator().manual_seed(0))
    responses[1] = 0
    transform.measure(responses)
    values = transform(responses[None])[0]
    assert torch.allclose(values[:, [0, 2]].mean(2), torch.zeros(2, 2), atol=1e-5)
    assert torch.allclose(values[:, [0, 2]].std(2), torch.ones(2, 2), atol=1e-4)
    assert bool((values[:, 1] == 0).all())


def test_the_read_in_paints_each_neurons_vector_at_its_place() -> None:
    generator = torch.Generator().manual_seed(1)
    responses, painter = torch.rand(2, 4, 11, generator=generator), GridWeights(4, (5, 6))
    painter.centre.data.copy_(torch.rand(4, 2, generator=generator) * 4)
    read_in = ReadIn(4, 3, painter, lags=LAGS, stride=2)
    read_in.initialise(responses[0], generator)
    painted = read_in(responses, (5, 6))
    assert painted.shape == (2, 6, 3, 5, 6)
    values, weights = read_in.transform(responses), painter().reshape(4, 5, 6)
    padded = torch.nn.functional.pad(values, (0, 3))
    expected = torch.zeros(2, 6, 3, 5, 6)
    for frame in range(6):
        window = padded[..., 2 * frame : 2 * frame + 4]
        features = torch.einsum("bfnl,kl->bnfk", window, read_in.filters).flatten(2)
        expected[:, frame] = torch.einsum("bnf,nfc,nhw->bchw", features, read_in.vectors, weights)
    assert torch.allclose(painted, expected, atol=1e-5)


def test_a_silenced_neuron_paints_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    read_in = ReadIn(3, 2, GridWeights(3, (4, 4)), lags=LAGS, stride=1)
    responses, kept = torch.rand(1, 3, 9, generator=generator), torch.tensor([[True, False, True]])
    read_in.initialise(responses[0], generator)
    read_in.vectors.data[1] = 0
    without = read_in(responses, (4, 4))
    read_in.vectors.data[1] = 5
    assert torch.allclose(read_in(responses, (4, 4), kept), without, atol=1e-5)


def test_where_neurons_were_silenced_all_of_them_count_by_the_share_that_spoke() -> None:
    """The features of all neurons are then the mean over what is silenced, which the layers behind them learnt from."""
    generator = torch.Generator().manual_seed(6)
    read_in = ReadIn(8, 2, GridWeights(8, (3, 3)), lags=LAGS, stride=1)
    responses = torch.rand(1, 8, 9, generator=generator)
    read_in.initialise(responses[0], generator)
    read_in.bias.data.fill_(0.5)
    read_in.kept_share = 0.75
    every = torch.tensor([[index & (1 << n) == 0 for n in range(8)] for index in range(256)])
    weights = torch.where(every, 0.75, 0.25).prod(1)
    each = read_in(responses.expand(256, -1, -1), (3, 3), every)
    assert torch.allclose(read_in(responses, (3, 3)), (weights[:, None, None, None, None] * each).sum(0), atol=1e-5)


@pytest.mark.parametrize("maker", [Convolutional, Meicoder])
def test_a_decoder_is_read_as_it_was_validated(maker: Any, tmp_path: Path) -> None:
    """What is loaded gives, bit by bit, the movie of the network that the training ended with."""
    training = worlds.training(tmp_path)
    method = maker(learning=Learning(steps=2, validate_every=1), dropout=0.5, frames=20, margin=2)
    network, fitted = method.trained(training), method.fit(training)
    assert network.read_in.kept_share == 0.5
    problem = worlds.problem()
    *_, last = fitted(problem, torch.Generator())
    expected = network(responses_of(problem, training.neurons)).clamp(0, 1)
    assert torch.equal(last.movie, expected)


def test_a_file_says_with_which_share_of_the_neurons_it_was_trained(tmp_path: Path) -> None:
    training = worlds.training(tmp_path)
    method = Convolutional(learning=Learning(steps=1), dropout=0.25)
    learnt = {**method.trained(training).state_dict(), "neurons": training.neurons}
    for name, card in (("said", {"dropout": 0.25}), ("usual", {})):
        path = tmp_path / f"{name}.safetensors"
        save_decoder(learnt, path, recording=training.recording, card={"seconds": 1, "method": card})
    shares = [
        Convolutional(weights=str(tmp_path / f"{name}.safetensors")).fit(training).load()[0].read_in.kept_share
        for name in ("said", "usual")
    ]
    assert shares == [0.75, 0.9]


def test_most_exciting_inputs_of_linear_cells_are_their_fields() -> None:
    encoder, neurons = worlds.encoder(lags=1), torch.arange(worlds.NEURONS) < 7
    found = most_exciting(encoder, neurons, torch.Generator().manual_seed(0), steps=20)
    smooth = torch.nn.functional.pad(encoder.weights[:7, 0], (2, 2, 2, 2))
    kernel = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0])
    smooth = torch.nn.functional.conv2d(smooth, (kernel[:, None] * kernel / 81)[None, None])[:, 0]
    cosine = torch.nn.functional.cosine_similarity(found.flatten(1), smooth.flatten(1))
    assert found.flatten(1).norm(dim=1).tolist() == pytest.approx([1.0] * 7)
    assert float(cosine.min()) > 0.9


def test_places_are_the_centres_of_receptive_fields_in_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5]])  # x, y
    monkeypatch.setattr(examples_module, "receptive_fields", lambda clips: corners)
    clips = [TrainingClip(torch.zeros(1, 3, 10, 14, dtype=torch.uint8), torch.zeros(3, 3))]
    found = places(clips, (5, 7))
    assert torch.allclose(found, torch.tensor([[-0.5, -0.5], [4.5, 6.5], [3.25, 3.0]]))


def test_chunks_keep_responses_and_movies_together(tmp_path: Path) -> None:
    examples = recorded(worlds.training(tmp_path))
    responses, movies = chunk(examples, torch.Generator().manual_seed(0), batch=5, frames=7)
    assert responses.shape == (5, 25, 7) and movies.shape == (5, 1, 7, worlds.HEIGHT, worlds.WIDTH)
    for sample, movie in zip(responses, movies, strict=True):
        found = [
            (trial, start)
            for trial, example in enumerate(examples)
            for start in range(18)
            if torch.equal(example.responses[:, start : start + 7], sample)
        ]
        assert any(torch.equal(examples[t].movie[0, s : s + 7].float() / 255, movie[0]) for t, s in found)


@pytest.mark.parametrize("size, stride, block", [((6, 8), 2, 2), ((7, 9), 1, 2), ((5, 6), 3, 1)])
def test_movies_have_the_size_of_the_recording(size, stride: int, block: int) -> None:
    architecture = DecoderArchitecture(block, stride, LAGS, (4, 5, 6))
    decoder = initialised(9, size, architecture, torch.Generator().manual_seed(0))
    assert decoder(torch.rand(2, 9, 13)).shape == (2, 1, 13, *size)


def test_a_decoder_starts_from_its_generator_alone() -> None:
    torch.manual_seed(5)
    first = initialised(9, (6, 8), TINY, torch.Generator().manual_seed(0)).state_dict()
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    second = initialised(9, (6, 8), TINY, torch.Generator().manual_seed(0)).state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_decoder_beats_the_mean_on_new_clips(tmp_path: Path) -> None:
    learning = Learning(steps=200, learning_rate=5e-3, validate_every=50)
    method = Convolutional(TINY, learning, batch=8, frames=16, margin=2, dropout=0.0)
    training = worlds.training(tmp_path, worlds.TinyRecording(60))
    problem, truth = worlds.problem(4), worlds.movies(4, seed=5)
    errors = []
    for ready in (method.fit(training), Mean().fit(training)):
        (last,) = ready(problem, torch.Generator())
        errors.append(float(((last.movie - truth) ** 2).mean()))
    assert errors[0] < 0.8 * errors[1]


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="widths, block and stride of at least 1"):
        DecoderArchitecture(block=0)
    with pytest.raises(ValueError, match="at least 1 and 3 layers"):
        FrameArchitecture(layers=2)
    with pytest.raises(ValueError, match="adversarial and dropout from 0 to below 1"):
        Meicoder(adversarial=1.0)


def test_only_the_first_share_of_the_trials_is_learnt_from(tmp_path: Path) -> None:
    whole = worlds.training(tmp_path)
    part = replace(whole, share=0.25)
    assert [trial.index for trial in part.trials()] == [0, 1, 2]
    assert [trial.index for trial in replace(whole, share=0.01).trials()] == [0]
    assert Ridge(lags=LAGS, folds=2).fit(part).artefact != Ridge(lags=LAGS, folds=2).fit(whole).artefact


def test_a_critic_moves_the_maker_and_the_maker_does_not_move_the_critic() -> None:
    critic, made = Critic(4), torch.rand(1, 1, 3, 8, 8, requires_grad=True)
    maker, judge = rivalry(critic, made, torch.rand(1, 1, 3, 8, 8))
    maker.backward()
    assert made.grad is not None and float(made.grad.abs().sum()) > 0
    assert all(weight.grad is None for weight in critic.parameters())
    made.grad = None
    judge.backward()
    assert made.grad is None and all(weight.grad is not None for weight in critic.parameters())
    assert maker.item() == pytest.approx((critic(made[0].transpose(0, 1)) - 1).square().mean().item())


def test_frames_are_read_from_the_responses_around_them_alone() -> None:
    both = rivals(9, (7, 9), FrameArchitecture(2, 1, LAGS, 4, 3), torch.Generator().manual_seed(0))
    both.decoder.read_in.initialise(torch.rand(9, 50), torch.Generator().manual_seed(1))
    both.decoder.read_in.painter.pictures.uniform_(0, 1, generator=torch.Generator().manual_seed(2))
    responses = torch.rand(1, 9, 12)
    changed = responses.clone()
    changed[:, :, 6] += 1
    moved = (both.decoder(responses) - both.decoder(changed)).abs().amax((0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == [3 <= frame <= 6 for frame in range(12)]  # lags 0 to 3


def test_a_trained_decoder_becomes_a_file_that_a_benchmark_uses(world: Path, tmp_path: Path, capsys) -> None:
    bench = configuration(world)
    method = {"name": "convolutional", "architecture": {"widths": [4]}, "learning": {"steps": 5}, "frames": 30}
    tree = {key: bench[key] for key in ("recording", "artefacts", "neurons", "device")}
    tree |= {"output": str(tmp_path / "tiny.safetensors"), "method": method}
    OmegaConf.save(OmegaConf.create(tree | {"encoders": {"first": bench["encoders"]["first"]}}), tmp_path / "tiny.yaml")
    assert cli.main(["train", "decoder", str(tmp_path / "tiny.yaml")]) == 0
    assert "card:" in capsys.readouterr().out
    card = json.loads((tmp_path / "tiny.json").read_text())
    assert card["name"] == "tiny" and card["data"]["recording"] == "recording" and card["data"]["fingerprint"]
    assert card["command"] == f"recon train decoder {tmp_path / 'tiny.yaml'}"
    assert card["seconds"] > 0 and card["method"]["name"] == "convolutional"
    rows = [
        {"label": "trained", "method": method},
        {"label": "file", "method": {"name": "convolutional", "weights": str(tmp_path / "tiny.safetensors")}},
    ]
    run = benchmark(bench | {"run": str(tmp_path / "run"), "rows": rows})
    with (run / "results.csv").open(newline="") as stream:
        scores = [float(row["video_correlation"]) for row in csv.DictReader(stream)]
    assert scores[:3] == pytest.approx(scores[3:], abs=5e-3)  # stored in half precision


def test_a_decoder_of_other_neurons_is_refused(tmp_path: Path) -> None:
    training = worlds.training(tmp_path)
    learnt = {"neurons": ~training.neurons, "mean": torch.zeros(6, 8)}
    save_decoder(learnt, tmp_path / "other.safetensors", recording=training.recording, card={"seconds": 1})
    with pytest.raises(ValueError, match="got one of 5 other neurons"):
        Convolutional(weights=str(tmp_path / "other.safetensors")).fit(training)
    with pytest.raises(ValueError, match="a file or a shipped name"):
        Convolutional(weights="nothing").fit(training)
    (tmp_path / "broken.safetensors").write_bytes(b"abc")
    with pytest.raises(ValueError, match="expected a whole safetensors file"):
        Convolutional(weights=str(tmp_path / "broken.safetensors")).fit(training)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_shipped_decoders_have_cards_and_read_the_fit_neurons_of_the_simulated_recording(seed: int) -> None:
    found = SHIPPED / f"v1_decoder_seed{seed}.safetensors"
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 8e6
    card = json.loads(found.with_suffix(".json").read_text())
    assert card["method"] == config.expand({"preset": "convolutional"})
    decoder, neurons = Convolutional(weights="v1_decoder_seed{seed}", artefact=found).load()
    assert int(neurons.sum()) == card["neurons"] == 904 and len(neurons) == 1000
    movie = decoder(torch.rand(1, 904, 20, generator=torch.Generator().manual_seed(0)))
    assert movie.shape == (1, 1, 20, 36, 64) and bool(torch.isfinite(movie).all())


def test_blocks_mix_three_frames_of_a_pixel() -> None:
    """Against the plain formula, with torch's own convolution over time."""
    block = ResidualBlock(3)
    x = torch.rand(2, 5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    inner = torch.nn.functional.silu(block.space(torch.nn.functional.silu(x).flatten(0, 1))).reshape(x.shape)
    series = inner.permute(0, 3, 4, 2, 1).flatten(0, 2)
    mixed = block.time(series).reshape(2, 4, 6, 3, 5).permute(0, 4, 3, 1, 2)
    assert torch.allclose(block(x), x + mixed, atol=1e-5)
