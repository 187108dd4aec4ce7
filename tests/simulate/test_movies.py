"""Simulated movies: split of sources, rendering, natural statistics, and captions that tell the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from skimage.registration import phase_cross_correlation

from recon.simulate import captions, textures
from recon.simulate.facts import places
from recon.simulate.movies import make_clip
from recon.simulate.render import FRAME_RATE, Layer, Motion, render, smooth_motion
from recon.simulate.scenes import ATTRIBUTES, make_scene
from recon.simulate.sources import SPLITS, SceneSource, read_photograph, scene_source, split_of_sources

SMALL = {"frame_size": (16, 24), "degrees_per_pixel": 4.0}


def canvas(seed: int = 0) -> textures.Picture:
    return textures.dead_leaves(np.random.default_rng(seed), 160, smallest=5.0)


def straight(frames: int, step: tuple[float, float]) -> Motion:
    shift = np.arange(frames)[:, None] * np.array(step)[None]
    return Motion(shift, np.zeros(frames), np.ones(frames))


def test_a_clip_depends_on_its_arguments_only() -> None:
    first, again = make_clip("train", 3, frames=120, **SMALL), make_clip("train", 3, frames=120, **SMALL)
    other = make_clip("train", 4, frames=120, **SMALL)
    assert np.array_equal(first.video, again.video) and first.scenes == again.scenes
    assert first.video.shape == other.video.shape == (120, 16, 24) and first.video.dtype == np.uint8
    assert not np.array_equal(first.video, other.video)


def test_cuts_come_every_few_seconds_and_cover_the_clip() -> None:
    clip = make_clip("train", 0, **SMALL)
    edges = [scene.first for scene in clip.scenes] + [clip.scenes[-1].end]
    assert edges[0] == 0 and edges[-1] == len(clip.video) == 300
    assert all(60 <= b - a <= 200 for a, b in pairwise(edges))
    changes = np.abs(np.diff(clip.video.astype(float), axis=0)).mean((1, 2))
    assert min(changes[edge - 1] for edge in edges[1:-1]) > 2 * np.median(changes)


def test_splits_share_neither_photographs_nor_seeds() -> None:
    content = split_of_sources()
    photographs = [set(content["photographs"][split]) for split in SPLITS]
    assert len(set.union(*photographs)) == sum(map(len, photographs)) == len(content["contents"])
    assert "motorcycle_right.png" not in set.union(*photographs)
    ranges = sorted(tuple(content["seeds"][split]) for split in SPLITS)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))


def test_sources_in_use_are_disjoint_and_every_test_clip_has_its_own() -> None:
    used = {s: {scene_source(s, i, k).name for i in range(60) for k in range(4)} for s in SPLITS}
    assert not used["train"] & used["test"] and not used["train"] & used["validation"]
    assert not used["test"] & used["validation"]
    assert not used["calibration"] & (used["train"] | used["validation"] | used["test"])
    for split in ("validation", "test", "calibration"):
        names = [scene_source(split, i, 0).name for i in range(24)]
        assert len(set(names)) == 24
        assert all(scene_source(split, i, 1).name == name for i, name in enumerate(names))
    kinds = {scene_source("test", i, 0).kind for i in range(24)}
    assert kinds == {"leaves", "objects", "pan", "photograph"}


def test_every_photograph_of_the_split_ships_with_scikit_image() -> None:
    for name in split_of_sources()["contents"]:
        picture = read_photograph(name)
        assert min(picture.shape) > 100 and picture.std() > 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scene_source("training", 0, 0), "split: expected one of train, validation, test"),
        (lambda: scene_source("test", 10**7, 0), "seeds of test"),
        (lambda: read_photograph("nobody.png"), "nobody.png: expected it in"),
    ],
)
def test_wrong_sources_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_step_of_one_pixel_moves_the_picture_by_exactly_one_pixel() -> None:
    layer = Layer(canvas(), straight(3, (2.0, -2.0)))
    frames = render([layer], frames=3, frame_size=(12, 20), degrees_per_pixel=2.0)
    torch.testing.assert_close(frames[1, :-1, 1:], frames[0, 1:, :-1], atol=1e-4, rtol=0)


def test_a_background_is_periodic_and_half_a_pixel_is_between() -> None:
    side = 160 * 1.0
    still = render([Layer(canvas(), straight(1, (0, 0)))], frames=1, frame_size=(12, 20), degrees_per_pixel=2.0)
    motion = Motion(np.array([[side, -side]]), np.zeros(1), np.ones(1))
    torch.testing.assert_close(
        render([Layer(canvas(), motion)], frames=1, frame_size=(12, 20), degrees_per_pixel=2.0),
        still,
        atol=1e-3,
        rtol=0,
    )


@pytest.mark.parametrize(
    ("size", "smallest", "cover", "greys", "after"),
    [
        (64, 2.0, 3.0, [-0.75541, -1.18807, -0.09735, 0.53231, 0.38385], 0.911174692461),
        (200, 3.0, 2.0, [0.09155, -0.77954, -0.01192, 0.12106, 0.11956], 0.822763487138),
    ],
)
def test_leaves_are_those_of_earlier_recordings(
    size: int, smallest: float, cover: float, greys: list[float], after: float
) -> None:
    """Greys on a line, and the next random number: other ones need another GENERATOR_VERSION."""
    generator = np.random.default_rng(7)
    leaves = textures.dead_leaves(generator, size, smallest=smallest, cover=cover)
    assert [leaves[i, 3 * i % size] for i in (0, 13, 31, 50, 63)] == pytest.approx(greys, abs=1e-4)
    assert generator.random() == pytest.approx(after, abs=1e-9)


def test_objects_hide_what_is_behind_them_and_grow() -> None:
    generator = np.random.default_rng(0)
    values, opacity = textures.sprite(generator, "disc", "plain", radius=10.0)
    scale = np.array([0.6, 1.2])
    motion = Motion(np.zeros((2, 2)), np.zeros(2), scale)
    layers = [
        Layer(np.full((64, 64), -9.0, dtype=np.float32), straight(2, (0, 0))),
        Layer(np.zeros_like(values), motion, opacity, (200.0, 200.0)),
    ]
    frames = render(layers, frames=2, frame_size=(32, 32), degrees_per_pixel=2.0)
    covered = (frames / 9.0 + 1).sum((1, 2))
    expected = np.pi * (10.0 * scale / 2.0) ** 2
    np.testing.assert_allclose(covered.numpy(), expected, rtol=0.05)


@pytest.mark.parametrize("shape", textures.SHAPES)
@pytest.mark.parametrize("texture", textures.TEXTURES)
def test_sprites_are_finite_and_closed(shape: str, texture: str) -> None:
    values, opacity = textures.sprite(np.random.default_rng(1), shape, texture, radius=8.0)
    assert np.isfinite(values).all() and opacity.min() == 0 and opacity.max() == 1
    assert opacity[[0, -1]].max() == 0 and opacity[:, [0, -1]].max() == 0


def test_movies_have_natural_contrast_and_spectrum() -> None:
    video = np.concatenate([make_clip("train", i, frames=150).video[::15] for i in range(5)]).astype(float)
    assert 80 < video.mean() < 120 and 38 < video.std() < 62
    window = np.hanning(36)[:, None] * np.hanning(64)[None]
    power = np.square(np.abs(np.fft.fft2((video - video.mean((1, 2), keepdims=True)) * window))).mean(0)
    radius = np.hypot(np.fft.fftfreq(36)[:, None], np.fft.fftfreq(64)[None])
    inside = (radius > 0.05) & (radius < 0.4)
    slope = np.polyfit(np.log(radius[inside]), np.log(power[inside]), 1)[0]
    assert -3.2 < slope < -1.4


def test_speed_stays_below_the_limit_and_direction_is_kept() -> None:
    for seed in range(8):
        motion = smooth_motion(np.random.default_rng(seed), 120, speed=20.0, direction=np.pi / 2)
        x, y = motion.velocity
        assert abs(np.hypot(x, y) - 20) < 3 and y < 0 and abs(x) < 3
        assert np.hypot(*np.diff(motion.shift, axis=0).T).max() * FRAME_RATE < 60


@pytest.mark.parametrize("eighth", range(8))
def test_direction_words_are_what_a_measurement_of_the_rendered_movie_says(eighth: int) -> None:
    motion = smooth_motion(np.random.default_rng(5), 30, speed=25.0, direction=eighth * np.pi / 4)
    frames = render([Layer(canvas(3), motion)], frames=30, frame_size=(36, 64), degrees_per_pixel=2.0)
    measured = np.zeros(2)
    for t in range(0, 24, 6):
        shift, _, _ = phase_cross_correlation(frames[t + 6].numpy(), frames[t].numpy(), upsample_factor=10)
        measured += shift[::-1]
    assert captions.direction_words((float(measured[0]), float(measured[1]))) == captions.direction_words(
        motion.velocity
    )
    assert captions.direction_words(motion.velocity) in captions.movement(motion.velocity)
    against = captions.direction_words((-motion.velocity[0], -motion.velocity[1]))
    assert all(against in text for text in captions.camera_captions("a wall", motion.velocity, 0.0)[:4])


@pytest.mark.parametrize("kind", ["leaves", "objects", "pan"])
def test_scenes_say_how_their_parts_move_and_what_they_show(kind: str) -> None:
    for seed in range(6):
        scene = make_scene(SceneSource(seed, kind), 0, frames=90, **SMALL)
        assert len(scene.captions) == captions.PHRASINGS == len(set(scene.captions))
        motion = (scene.layers[1:] if kind == "objects" else scene.layers)[0].motion
        x, y = motion.velocity
        seen = (-x, -y) if kind == "pan" else (x, y)
        if captions.speed_class(seen) != "still":
            assert all(captions.direction_words(seen) in text for text in scene.captions[:4])
        shown = {name for name, on in zip(ATTRIBUTES, scene.attributes, strict=True) if on}
        words = scene.captions[0].replace("cloudy", "clouds")
        assert shown and all(name in words for name in shown)


def there(shift: tuple[float, float], *, step: tuple[float, float] = (0.0, 0.0)) -> dict[str, str]:
    motion = straight(9, step)
    motion = Motion(motion.shift - motion.shift[4] + np.array(shift), motion.angle, motion.scale)
    return places(Layer(np.zeros((3, 3)), motion, np.ones((3, 3)), wrap=(80.0, 60.0)), (60.0, 36.0))


def test_places_are_ninths_of_the_screen_in_which_an_object_is_seen() -> None:
    where = [there((x, y))["place"] for y in (-12.0, 0.0, 12.0) for x in (-20.0, 0.0, 20.0)]
    assert tuple(where) == captions.PLACES
    assert there((0.0, 0.0), step=(4.0, 0.0)) == {
        "place": "in the centre",
        "start": "on the left",
        "end": "on the right",
    }
    assert there((38.0, 0.0), step=(4.0, 0.0)) == dict.fromkeys(("place", "start", "end"), "on the right")
    assert there((100.0, 0.0))["place"] == "on the right", "it re-entered opposite, at x = 20"


@pytest.mark.parametrize("seed", range(6))
def test_a_named_place_is_where_the_rendered_object_is(seed: int) -> None:
    scene = make_scene(SceneSource(seed, "objects"), 0, frames=61, frame_size=(36, 64), degrees_per_pixel=1.94)
    behind, first = scene.layers[:2]
    bright = replace(first, values=np.full_like(first.values, 1.0))
    frames = render(
        [replace(behind, values=0 * behind.values), bright], frames=61, frame_size=(36, 64), degrees_per_pixel=1.94
    )
    rows, columns = np.nonzero(frames[30].numpy() > 0.5)
    row, column = (np.searchsorted((side / 3, 2 * side / 3), at.mean()) for side, at in ((36, rows), (64, columns)))
    known = scene.facts.objects[0]
    if known.start == known.end == known.place:  # others may be cut by the border of the screen
        assert captions.PLACES[3 * row + column] == known.place
    for phrasing in captions.WITH_PLACE:
        assert known.place.split(" ", 1)[1] in scene.captions[phrasing] or known.start != known.end
    assert not any(place in scene.captions[number] for place in captions.PLACES for number in (0, 1, 2, 5))


def test_captions_order_objects_in_depth_and_be_brief() -> None:
    def subject(
        shape: str, place: str, velocity: tuple[float, float] = (0.0, 0.0), **other: str
    ) -> captions.SubjectWords:
        return captions.SubjectWords(
            "small", "plain", shape, velocity, 0.0, place, **{"start": place, "end": place, **other}
        )

    behind, front = subject("disc", "at the top"), subject("star", "in the centre", (12.0, 0.0), start="on the left")
    said = captions.objects_captions([behind, front], "a background of large leaves", moving="")
    assert said[3] == (
        "a small plain disc at the top stays almost still and a small plain star moves steadily to the right, "
        "from the left to the centre over a background of large leaves"
    )
    assert said[4] == (
        "a small plain star in the centre, in front of a small plain disc at the top, over a background of large leaves"
    )
    assert said[5] == "a plain disc and a plain star over leaves"
    assert captions.surface_captions("a pile of small leaves", (0.0, 12.0), 0.0)[3:] == (
        "a pile of small leaves fills the whole screen and moves steadily downwards",
        "the whole screen is filled by a pile of small leaves",
        "leaves",
    )


def test_a_mirrored_caption_is_that_of_the_mirrored_scene() -> None:
    assert captions.mirrored("a disc on the left, up and to the right over a cloudy background") == (
        "a disc on the right, up and to the left over a cloudy background"
    )
    for velocity in ((9.0, 3.0), (-20.0, 20.0), (0.0, 30.0)):
        other = (-velocity[0], velocity[1])
        assert captions.mirrored(captions.movement(velocity)) == captions.movement(other)


def test_facts_are_stored_with_captions() -> None:
    scene = make_clip("train", 4, frames=90, **SMALL).describe()[0]
    assert scene["facts"]["kind"] in ("leaves", "objects", "pan", "photograph")
    assert len(scene["captions"]) == captions.PHRASINGS


def test_a_photograph_is_named_and_its_content_marked() -> None:
    scene = make_scene(SceneSource(7, "photograph", "chelsea.png"), 0, frames=60, **SMALL)
    shown = {name for name, on in zip(ATTRIBUTES, scene.attributes, strict=True) if on}
    assert shown == {"photograph", "animal"} and all("cat" in text for text in scene.captions)


def test_still_and_growing_things_are_called_so() -> None:
    assert captions.movement((0.3, 0.1)) == "stays almost still"
    assert captions.movement((10.0, 0.0), growth=0.4) == "moves steadily to the right while coming closer"
    assert captions.movement((40.0, 0.0), growth=-0.4, phrasing=2) == "sweeps rapidly to the right while receding"
    assert captions.joined([["a b", "c"], ["d", "e"]]) == ("A b. Then d.", "C. Then e.")


def test_calibration_clips_are_drawn_like_test_clips_after_the_photographs() -> None:
    kinds = [scene_source("calibration", i, 0).kind for i in range(300)]
    later = [scene_source("test", i, 0).kind for i in range(20, 320)]
    assert set(kinds) == set(later) == {"leaves", "objects", "pan"}
    assert all(abs(kinds.count(kind) - later.count(kind)) < 45 for kind in set(kinds))  # 5 standard errors
