"""Training of a cascade: clips that come while it learns, captions that stay true, and resuming."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from recon.priors.coarse_movies import pooled
from recon.priors.movie_cascade import load_movie_cascade
from recon.priors.movie_diffusion import load_movie_diffusion
from recon.priors.text import TextEncoder
from recon.simulate.captions import mirrored
from recon.simulate.movies import make_clip
from recon.train import cascade_coarse, cascade_fine, coarse_scenes
from recon.train.cascade_coarse import train_coarse
from recon.train.cascade_fine import FineTraining, train_fine
from recon.train.coarse_scenes import CoarseScenes, Growth, Telling, drawn_chunks

GROWTH = Growth(clips=4, begin=1, steps=2, part=2, frames=150)


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recon.train.coarse_held_out.CLIPS", 2)
    monkeypatch.setattr("recon.train.captioned.HELD_OUT", 2)
    monkeypatch.setattr("recon.train.captioned.HELD_OUT_FRAMES", 70)
    monkeypatch.setattr("recon.train.captioned.LENGTH", 32)
    monkeypatch.setattr("recon.encoders.training.loop.SAVE_SECONDS", 0.0)


def coarse_tree(folder: Path, artefacts: Path, name: str = "coarse") -> dict[str, object]:
    return {
        "stage": "coarse",
        "output": str(folder / f"{name}.safetensors"),
        "settings": {"widths": [8, 16], "depths": [1, 1], "heads": 2, "words": 8, "steering": 8},
        "learning": {"steps": 4, "validate_every": 2, "warmup": 1},
        "clips": 4,
        "begin": 1,
        "grown": 0.5,
        "part": 2,
        "clip_frames": 150,
        "batch": 4,
        "frames": 8,
        "artefacts": str(artefacts),
    }


def test_scenes_come_with_the_steps_and_are_those_of_the_training_sources(artefacts: Path) -> None:
    with closing(CoarseScenes(GROWTH, artefacts)) as scenes:
        scenes.grow(0)
        assert len(scenes.movies) == 1
        scenes.grow(2)
        assert len(scenes.movies) == 2
        clip = make_clip("train", coarse_scenes.FIRST + 3, frames=150)
        expected = pooled(torch.from_numpy(clip.video)[None, None].float())[0]
        assert torch.allclose(scenes.chunk(3, 5, 9) * 255, expected[:, 5:14], atol=0.51)
        known = [scene for scene in scenes.scenes if scene.clip == 3]
        assert [scene.captions for scene in known] == [scene.captions for scene in clip.scenes]
        assert [scene.objects for scene in known] == [len(scene.facts.objects) for scene in clip.scenes]


def test_every_frame_of_a_chunk_is_told_a_caption_of_its_scene(artefacts: Path) -> None:
    encoder = TextEncoder()
    telling = Telling(encoder, silent=0.2, vector=0.0)
    with closing(CoarseScenes(GROWTH, artefacts)) as scenes:
        scenes.grow(2)
        chunks = drawn_chunks(scenes, telling, torch.Generator().manual_seed(0), batch=24, frames=16)
        again = drawn_chunks(scenes, telling, torch.Generator().manual_seed(0), batch=24, frames=16)
    assert torch.equal(chunks.movies, again.movies)
    whole = {clip: scenes.chunk(clip, 0, scenes.length(clip)) for clip in range(4)}
    told = several = 0
    for movie, texts, frame in zip(chunks.movies, *chunks.told, strict=True):
        clip, start, flipped = found(movie, whole)
        for number, place in enumerate(frame.tolist()):
            if texts[place, 0].isnan().any():
                continue
            middle = min(4 * (start + number) + 2, GROWTH.frames - 1)
            scene = next(one for one in scenes.scenes if one.clip == clip and one.first <= middle < one.end)
            said = encoder([mirrored(text) if flipped else text for text in scene.captions])
            assert float((said @ texts[place, 0]).max()) > 0.999
            told += 1
        several += int(frame.max()) > 0
    assert told > 200 and several, "some chunks show more than one scene"


def found(movie: torch.Tensor, whole: dict[int, torch.Tensor]) -> tuple[int, int, bool]:
    for clip, known in whole.items():
        for start in range(known.shape[1] - movie.shape[1] + 1):
            part = known[:, start : start + movie.shape[1]]
            for flipped in (False, True):
                if torch.equal(part.flip(-1) if flipped else part, movie):
                    return clip, start, flipped
    raise AssertionError("the chunk is of no clip")


def test_a_cascade_is_trained_in_two_stages_and_resumes(
    tmp_path: Path, artefacts: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_coarse(coarse_tree(tmp_path, artefacts, "whole"))
    with monkeypatch.context() as interrupted:
        loss = cascade_coarse.weighted_error
        calls: list[int] = []

        def broken(*given: object) -> torch.Tensor:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return loss(*given)

        interrupted.setattr(cascade_coarse, "weighted_error", broken)
        with pytest.raises(KeyboardInterrupt):
            train_coarse(coarse_tree(tmp_path, artefacts, "again"))
    again = train_coarse(coarse_tree(tmp_path, artefacts, "again"), log=tmp_path / "log")
    assert all(torch.equal(value, load_file(again)[name]) for name, value in load_file(whole).items())
    card = json.loads(again.with_suffix(".json").read_text())
    assert card["held_out_squared_error"]["with place"]["caption: right"]["0.4"] > 0
    tree = {
        "stage": "fine",
        "output": str(tmp_path / "cascade.safetensors"),
        "coarse": str(whole),
        "learning": {"steps": 2, "validate_every": 2, "warmup": 1},
        "clips": 1,
        "batch": 1,
        "frames": 8,
        "artefacts": str(artefacts),
    }
    model = load_movie_cascade(train_fine(tree))
    assert all(
        torch.equal(value, load_file(whole)[f"{name}"].float()) for name, value in model.coarse.state_dict().items()
    )


def test_a_cascade_begins_with_the_errors_of_the_prior_it_starts_from(
    tmp_path: Path, artefacts: Path, short: None
) -> None:
    coarse = train_coarse(coarse_tree(tmp_path, artefacts))
    model = cascade_fine.started(FineTraining(tmp_path / "o", str(coarse), precision="float32")).eval()
    known, x = load_movie_diffusion("movie_diffusion"), torch.rand(1, 1, 16, 36, 64)
    condition = TextEncoder()(["a large plain disc moves upwards"])
    with torch.no_grad():
        for sigma in torch.tensor([[0.1], [3.0]]):
            assert torch.allclose(model(x, sigma, condition), known(x, sigma, condition), atol=1e-5)
