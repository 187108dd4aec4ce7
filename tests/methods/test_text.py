"""Caption embeddings read from responses: windows, examples, ridge and contrastive readers, what they are worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from worlds import linear as worlds
from worlds.spoken import WORDS, Spoken

from recon.encoders.training.loop import Learning
from recon.methods import Sample, fitted
from recon.methods.linear.lags import Lags
from recon.methods.text.decoder import Decoded, ridge, solutions
from recon.methods.text.examples import Examples, Windows, embedded, examples, over_time, recorded, scene_of
from recon.methods.text.from_pictures import Pictures
from recon.priors.text import TextEncoder

QUICK = Learning(steps=60, learning_rate=3e-3, validate_every=20)


class Shown(Spoken):
    """Trials of two scenes in each of which the quarter of its caption is bright; each neuron sees a pixel."""

    def __init__(self, trials: int = 60) -> None:
        super().__init__(trials)
        generator = torch.Generator().manual_seed(1)
        rows, columns = worlds.HEIGHT // 2, worlds.WIDTH // 2
        self.movies = 0.2 * torch.rand(trials, 1, 24, worlds.HEIGHT, worlds.WIDTH, generator=generator)
        for trial, scenes in enumerate(self.shown):
            for scene, word in enumerate(scenes):
                row, column, frames = rows * (word // 2), columns * (word % 2), slice(12 * scene, 12 * scene + 12)
                self.movies[trial, 0, frames, row : row + rows, column : column + columns] += 0.8
        pixels = torch.randperm(worlds.HEIGHT * worlds.WIDTH, generator=generator)[: worlds.NEURONS]
        self.responses = torch.poisson(4 * self.movies.flatten(3)[:, 0].transpose(1, 2)[:, pixels], generator)


def test_windows_are_means_of_roots_after_a_delay() -> None:
    responses = torch.rand(1, 3, 40, generator=torch.Generator().manual_seed(1))
    windows = Windows(frames=8, every=10, parts=2, delay=3)
    found = windows.features(responses)
    assert windows.centres(40).tolist() == [5, 15, 25, 35] and found.shape == (1, 4, 6)
    roots = responses.sqrt()
    assert torch.allclose(found[0, 1, :3], roots[0, :, 14:18].mean(1), atol=1e-6)
    assert torch.allclose(found[0, 1, 3:], roots[0, :, 18:22].mean(1), atol=1e-6)
    with pytest.raises(ValueError, match="windows: expected frames that 2 parts divide"):
        Windows(frames=7, parts=2)


def test_every_frame_has_the_embedding_of_its_scene() -> None:
    said = Spoken().spoken(0)
    found = over_time(said, embedded(said, TextEncoder()), 26)
    assert torch.allclose(found[0], found[11]) and bool(found[24:].isnan().all())
    assert scene_of(said, torch.tensor([0, 12, 30])).tolist() == [0, 1, -1]


def test_ridge_is_the_textbook_solution_and_chooses_its_penalty() -> None:
    generator = torch.Generator().manual_seed(2)
    x, true = torch.randn(200, 5, generator=generator), torch.randn(5, 3, generator=generator)
    y = x @ true + 0.01 * torch.randn(200, 3, generator=generator) + 1.0
    weights, offset = solutions(x, y)[4]
    centred, gram = x - x.mean(0), (x - x.mean(0)).T @ (x - x.mean(0))
    penalty = float(torch.linalg.eigvalsh(gram).mean())
    expected = torch.linalg.solve(gram + penalty * torch.eye(5), centred.T @ (y - y.mean(0)))
    assert torch.allclose(weights, expected, atol=1e-4)
    assert torch.allclose(offset, y.mean(0) - x.mean(0) @ expected, atol=1e-4)
    best = ridge(Examples(x, y, torch.arange(200), torch.arange(200) // 10))
    assert torch.allclose(best["weights"], true, atol=0.05)


@pytest.mark.parametrize(
    ("decoder", "recording"),
    [
        (Decoded(windows=Windows(12, 4, delay=0)), Spoken(40)),
        (Decoded("contrastive", Windows(12, 4, delay=0), hidden=16, learning=QUICK), Spoken(40)),
        (Decoded("pictures", Windows(9, 3), Pictures(Lags(0, 0, 1)), hidden=16, width=4, learning=QUICK), Shown(60)),
    ],
)
def test_captions_of_left_out_trials_are_recognised(decoder: Decoded, recording: Spoken, tmp_path: Path) -> None:
    recording.tiers = ("train",) * (len(recording.shown) - 10) + ("oracle",) * 10
    training = worlds.training(tmp_path, recording)
    ready = decoder.fit(training)
    truth = functional.normalize(TextEncoder()(list(WORDS)) - ready.average(), dim=1)
    right, nearest = [], []
    for index in recording.trials("oracle"):
        responses = training.responses(recording.trial(index))[None]
        read = ready(responses)
        if recording.shown[index][0] == recording.shown[index][1]:
            nearest.append(ready.nearest(responses) == [WORDS[recording.shown[index][0]]])
        assert read.shape == (1, 24, 384)
        for scene, word in enumerate(recording.shown[index]):
            seen = read[0, 12 * scene + 4 : 12 * scene + 8].mean(0) - ready.average()
            right.append(int((truth @ seen).argmax()) == word)
    assert sum(right) / len(right) > 0.7  # chance: a quarter
    assert nearest and all(nearest)


def test_a_window_that_is_longer_than_a_clip_gives_one_embedding(tmp_path: Path) -> None:
    ready = Decoded(windows=Windows(60, 60), unit=True).fit(worlds.training(tmp_path, Spoken()))
    found = ready(torch.ones(2, 25, 24))
    assert found.shape == (2, 24, 384) and torch.equal(found[:, 0], found[:, -1])
    assert torch.allclose(found.norm(dim=-1), torch.ones(2, 24), atol=1e-5)


def test_without_captions_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="captions: expected captions of training trials in tiny, got none"):
        Decoded().fit(worlds.training(tmp_path))


def test_a_captioner_of_a_table_is_learnt_from(tmp_path: Path) -> None:
    """One that says the same of everything teaches nothing; one that says what the recording does, the same."""
    recording, table = Spoken(12), tmp_path / "captions.jsonl"
    said = [(t, c) for t in range(12) for c in recording.spoken(t)]
    rows = [{"trial": t, "first": c.first, "end": c.end, "captioner": "own", "text": c.texts[0]} for t, c in said]
    rows += [{"trial": t, "captioner": "one", "text": "nothing new"} for t in range(12)]
    table.write_text("\n".join(map(json.dumps, rows)))
    training, windows = worlds.training(tmp_path, recording), Windows(12, 4, delay=0)
    own, own_of_table, same = (
        Decoded(windows=windows, said=source).fit(training) for source in ("", f"{table}:own", f"{table}:one")
    )
    assert own.artefact == own_of_table.artefact != same.artefact
    seen = recording.responses[:, training.neurons]
    found = same(seen)
    assert torch.allclose(found, found[:1, :1].expand_as(found), atol=1e-5)
    assert set(same.nearest(seen)) == {"nothing new"}
    with pytest.raises(ValueError, match="expected TABLE:CAPTIONER with one of own, one, got 'two'"):
        Decoded(said=f"{table}:two").fit(training)
    with pytest.raises(ValueError, match="expected generated movies only beside a recording's own captions"):
        Decoded(said=f"{table}:own", generated=10)


def test_examples_know_their_scenes_and_trials(tmp_path: Path) -> None:
    windows = Windows(6, 6)
    training = worlds.training(tmp_path, Spoken(3))
    heard = recorded(training, training.recording.spoken)
    found = examples(heard, windows, TextEncoder(), seen=windows.features)
    assert found.trial.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.scene.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert torch.allclose(found.embeddings[0], found.embeddings[1])


def test_a_method_reads_its_text_from_activity(tmp_path: Path) -> None:
    """Without captions in the problem: the condition is what the responses decode to."""
    from recon.methods.diffusion.priors import conditioned
    from recon.priors.diffusion import Diffusion
    from recon.priors.movie_diffusion import MovieDiffusion, save_movie_diffusion
    from recon.priors.movie_unet import MovieUnetSettings

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MovieDiffusion(MovieUnetSettings(widths=(4, 6), depth=1, steering=8))
    save_movie_diffusion(model, tmp_path / "tiny.safetensors", card={})
    training, problem = worlds.training(tmp_path, Spoken()), worlds.problem()
    method = fitted(Sample(Diffusion(str(tmp_path / "tiny.safetensors"), Decoded(windows=Windows(6, 6)))), training)
    condition: Tensor | None = conditioned(method.denoiser, worlds.spectrum(), problem).condition
    assert condition is not None and condition.shape == (2, worlds.FRAMES, 384) and bool(condition.isfinite().all())
    *_, last = method(problem, torch.Generator().manual_seed(0))
    assert last.movie.shape == problem.shape
