"""Alignment: what the towers see, that they learn to tell pairs, and that retrieval finds what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from worlds import linear as worlds

from recon.encoders.training.loop import Learning, draw_weights, fresh
from recon.methods import Alignment
from recon.methods.linear.lags import Lags
from recon.methods.neural.alignment import augmented, nearness
from recon.methods.neural.chunks import chunk, recorded
from recon.methods.neural.library import pieces_of, window_starts
from recon.methods.neural.towers import Towers, TowerSettings
from recon.metrics.identification import cosine_similarity, top

TINY = TowerSettings(16, 32, 8, 8, 1, Lags(0, 3, 4))


def towers():
    made = fresh(lambda: Towers(25, (6, 8), TINY))
    draw_weights(made, torch.Generator().manual_seed(0))
    return made.requires_grad_(False)


def test_the_loss_is_symmetric_cross_entropy_of_likenesses() -> None:
    model, generator = towers(), torch.Generator().manual_seed(1)
    movie, responses = torch.rand(4, 1, 9, 6, 8, generator=generator), torch.rand(4, 25, 9, generator=generator)
    logits = model.log_scale.exp() * model(movie, responses)
    own = logits.diagonal()
    expected = 0.5 * (logits.logsumexp(1) - own + logits.logsumexp(0) - own).mean()
    assert torch.allclose(model.loss(movie, responses), expected, atol=1e-5)


def test_samples_do_not_influence_each_other() -> None:
    model, movie = towers(), torch.rand(3, 1, 8, 6, 8)
    assert torch.allclose(model.visual(movie)[1:2], model.visual(movie[1:2]), atol=1e-6)


def test_augmentation_keeps_shape_and_moves_by_a_pixel_at_most() -> None:
    movie = torch.zeros(2, 1, 3, 6, 8)
    movie[..., 3, 4] = 1.0
    changed = augmented(movie, torch.Generator().manual_seed(2))
    assert changed.shape == movie.shape
    for sample in changed.flatten(2):
        row, column = divmod(int(sample[0, :48].argmax()), 8)
        assert abs(row - 3) <= 1 and abs(column - 4) <= 1


def test_chunks_that_are_kept_apart_come_from_different_trials(tmp_path: Path) -> None:
    examples = recorded(worlds.training(tmp_path))
    _, movies = chunk(examples, torch.Generator().manual_seed(0), batch=50, frames=24, apart=True)
    assert len(movies) == 12
    assert len({tuple(movie.flatten()[:20].tolist()) for movie in movies}) == 12


def test_nearness_is_the_likeness_of_windows() -> None:
    generator = torch.Generator().manual_seed(3)
    embeddings, embedded = torch.randn(14, 5, generator=generator), torch.randn(9, 5, generator=generator)
    places, starts = pieces_of(torch.tensor([8, 6]), 4, 2), window_starts(9, 4, 3)
    scores = nearness(embeddings, embedded, places, starts, window=4)
    pieces = torch.stack([embeddings[p : p + 4] for p in places.tolist()])
    windows = torch.stack([embedded[s : s + 4] for s in starts.tolist()])
    assert torch.allclose(scores, cosine_similarity(pieces, windows), atol=1e-5)


def test_trained_towers_tell_new_clips_apart(tmp_path: Path) -> None:
    learning = Learning(steps=250, learning_rate=3e-3, validate_every=50)
    method = Alignment(TINY, learning, batch=16, frames=(12,), window=4, stride=1, dropout=0.0)
    ready = method.fit(worlds.training(tmp_path, worlds.TinyRecording(80)))
    model, _ = ready.load()
    problem, movie = worlds.problem(12, seed=31), worlds.movies(12, seed=31)
    responses = problem.observations[0].measurement.responses[:, worlds.sets()[0]]
    assert top(model(movie, responses), size=12).mean() > 0.6
    assert top(model(movie, responses).T, size=12).mean() > 0.6


def test_windows_must_be_whole_strides() -> None:
    with pytest.raises(ValueError, match="multiples of 2 frames"):
        Alignment(window=15)
