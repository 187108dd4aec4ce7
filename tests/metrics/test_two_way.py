"""Two-way identification by the features of a network: 1 for true movies, chance for other clips, and as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds.alexnet import weights

from recon.metrics import METRICS
from recon.metrics.networks import FOLDER_VARIABLE, SHIFT_TOLERANT, inception_features
from recon.metrics.two_way import Gallery

CLIPS = 3
NAMES = ("alexnet2_identification", "alexnet5_identification")


@pytest.fixture(autouse=True)
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(weights(), tmp_path / "alexnet.pth")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))


def movies(frames: int = 1, clips: int = CLIPS, *, seed: int = 0) -> Tensor:
    """Movies of rectangles: edges that features tell apart."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(clips, frames, 5, 6, generator=generator)
    return coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)[:, None]


def gallery(shown: Tensor, videos: str = "abcdefgh") -> Gallery:
    return Gallery(list(shown), list(videos[: len(shown)]))


def score(name: str, seen: Tensor, among: Gallery, pixels: Tensor | None = None) -> Tensor:
    found: Tensor = METRICS[name].function(seen, among, range(len(seen)), pixel_mask=pixels)
    return found


def test_true_movies_are_identified_and_a_movie_of_no_clip_is_at_chance() -> None:
    shown = movies()
    among, other = gallery(shown), movies(clips=1, seed=1).expand_as(shown)
    for name in NAMES:
        assert torch.equal(score(name, shown, among), torch.ones(CLIPS))
    for name in NAMES:  # the same movie for all clips wins one side of every pair, whatever its features
        assert score(name, other, among).mean().item() == pytest.approx(0.5)
    swapped = shown.roll(1, 0)
    for name in NAMES:
        assert score(name, swapped, among).mean() < 0.6


def test_features_of_st_lpips_identify_too() -> None:
    if SHIFT_TOLERANT.located() is None:
        pytest.skip("stlpips-pytorch is not installed: pip install recon[perceptual]")
    shown = movies(clips=2)[..., :20]
    among, swapped = gallery(shown), shown.flip(0)
    for seen, expected in ((shown, torch.ones(2)), (swapped, torch.zeros(2))):
        for layer in (2, 5):
            assert torch.equal(score(f"alexnet{layer}_identification_stlpips", seen, among), expected)


def test_identification_is_that_of_published_tables() -> None:
    """Features by torchvision, resized and normalised as published; correlations by NumPy; a tie is lost."""
    from torchvision import transforms
    from torchvision.models import alexnet
    from torchvision.models.feature_extraction import create_feature_extractor

    with torch.random.fork_rng():
        network = alexnet()
    network.load_state_dict(network.state_dict() | weights())
    extract = create_feature_extractor(network, ["features.4", "features.11"]).eval()
    colours = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    prepared = transforms.Compose([transforms.Resize(256), transforms.Normalize(**colours)])
    shown = movies(2)
    seen = 0.06 * shown + 0.94 * movies(2, seed=4)
    for name, layer in zip(NAMES, ("features.4", "features.11"), strict=True):
        wins = []
        for frame in range(2):
            pictures = [movie[:, :, frame].expand(-1, 3, -1, -1) for movie in (shown, seen)]
            with torch.no_grad():
                features = [extract(prepared(each))[layer].flatten(1).numpy() for each in pictures]
            similar = np.corrcoef(*features)[:CLIPS, CLIPS:]
            wins.append((similar < similar.diagonal()).sum(0) / (CLIPS - 1))
        found = score(name, seen, gallery(shown))
        np.testing.assert_allclose(found.numpy(), np.mean(wins, 0), atol=1e-6)
        assert 0 < found.mean() < 1, "a test of the definition needs wins and losses"


def test_clips_of_the_same_video_and_ended_clips_are_no_rivals() -> None:
    shown = movies(2, 3)
    seen = shown.roll(1, 0)
    alone = score(NAMES[0], seen, gallery(shown, "aaa"))
    assert alone.isnan().all()
    ended = Gallery([shown[0], shown[1], shown[2][:, :1]], list("abc"))
    assert ended.rivals(0, 0) == [1, 2] and ended.rivals(0, 1) == [1]


def test_pixels_outside_the_mask_change_nothing() -> None:
    shown = movies(clips=2)
    pixels = torch.zeros(20, 24, dtype=torch.bool)
    pixels[4:16, 6:18] = True
    other = torch.where(pixels, shown, torch.rand_like(shown))
    for name in NAMES:
        expected = score(name, shown, gallery(shown), pixels)
        assert torch.equal(score(name, other, gallery(other), pixels), expected)
        assert torch.equal(expected, torch.ones(2))


@pytest.mark.slow
def test_inception_is_torchvisions_with_its_change_of_the_input(tmp_path: Path) -> None:
    from torchvision.models import inception_v3

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = inception_v3(init_weights=False, transform_input=True)
    torch.save(network.state_dict(), tmp_path / "inception_v3.pth")
    caught: list[Tensor] = []
    network.eval().avgpool.register_forward_hook(lambda *arguments: caught.append(arguments[2]))
    image = torch.rand(1, 3, 342, 342, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        network(image)
        torch.testing.assert_close(inception_features(tmp_path / "inception_v3.pth")(image)["avgpool"], caught[0])
    shown = movies(clips=2)
    assert torch.equal(score("inception_identification", shown, gallery(shown)), torch.ones(2))
