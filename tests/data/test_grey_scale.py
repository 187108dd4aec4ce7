"""Grey scales: decided from the type and all stored values of a recording, and stated; in every format of frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from worlds import formats as worlds
from worlds.sessions import films, session_of

from recon.data.formats.arrays_import import import_arrays
from recon.data.formats.convert import Conversion, convert
from recon.data.grey_scale import GreyScale, agreed, decide, measured
from recon.data.layout import Array
from recon.data.pictures import read_picture
from recon.errors import InputError

LEVELS = np.array([0, 1, 128, 254, 255])


@pytest.mark.parametrize(
    ("kind", "low", "high", "white"),
    [
        ("bool", 0, 1, 1),
        ("uint8", 0, 255, 255),
        ("uint8", 0, 1, 255),  # bytes are grey levels, however dark
        ("uint8", 0, 0, 255),
        ("int64", 0, 200, 255),
        ("uint16", 0, 255, 255),
        (">u2", 0, 256, 65535),
        ("uint16", 0, 65535, 65535),
        ("float32", 0, 0, 1),
        ("float64", 0, 1, 1),
        ("float16", -1e-4, 1.0005, 1),  # rounding
        ("float32", 0, 255, 255),
        ("float32", 0, 3, 255),
    ],
)
def test_white_follows_from_the_type_and_the_extremes(kind: str, low: float, high: float, white: float) -> None:
    scale = decide(np.dtype(kind), low, high)
    assert scale.white == white
    assert scale.levels(np.array([0, white]).astype(kind)).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("float32", -1, 1),
        ("float32", 0, 1.3),  # an overshoot of 0–1, or a dark movie?
        ("float32", 0, 300),
        ("float32", np.nan, np.nan),
        ("float32", 0, np.inf),
        ("int16", -3, 200),
        ("int32", 0, 256),
        ("uint32", 0, 65535),
    ],
)
def test_what_fits_no_scale_is_refused(kind: str, low: float, high: float) -> None:
    with pytest.raises(InputError, match=r"film: expected .*grey levels"):
        decide(np.dtype(kind), low, high, name="film")


def test_bytes_and_words_become_the_same_levels() -> None:
    shown = {"uint8": LEVELS, "uint16": LEVELS * 257, "float32": LEVELS / 255, "float64": LEVELS / 255}
    for kind, values in shown.items():
        scale = decide(np.dtype(kind), 0, float(values.max()))
        np.testing.assert_allclose(scale.levels(values.astype(kind)), LEVELS, atol=1e-4)
    assert decide(np.dtype("uint16"), 0, 4000, whites=(255.0, 4095.0)).white == 4095  # 12 bits
    clipped = GreyScale(1.0).levels(np.array([-1e-4, 1.0005]))
    assert clipped.tolist() == [0, 255]


def test_one_type_has_one_scale_and_every_type_its_own() -> None:
    dark, bright = np.zeros((3, 2, 2), np.float32), np.full((3, 2, 2), 200, np.float32)
    parts = [measured(name, array, array.dtype) for name, array in (("dark", dark), ("bright", bright))]
    assert agreed(parts) == {"float": GreyScale(255.0)}
    part = np.full((2, 2, 2), 0.5)
    with pytest.raises(InputError, match=r"part: expected float .* of one scale, got at most 0\.5 here and 200 in"):
        agreed([*parts, measured("part", part, part.dtype)])
    whole = np.full((2, 2, 2), 7, np.uint8)
    assert agreed([*parts, measured("bytes", whole, whole.dtype)])["uint8"] == GreyScale()
    words = np.array([[[0]], [[40000]]], np.uint16)
    assert agreed([measured("words", words, words.dtype)]) == {"uint16": GreyScale(65535.0)}


def pieces(folder: Path, *stored: Callable[[Array], Array]) -> tuple[Any, list[Array]]:
    """Return the session of an experanto folder whose entries are stored as told, and the grey levels shown."""
    shown = films(30.0)[: len(stored)]
    path = worlds.write_experanto(folder / "mouse", shown)
    for number, how in enumerate(stored):
        file = path / f"screen/data/{2 * number:05d}.npy"
        np.save(file, how(np.load(file)))
    session = session_of(path)
    numbers = np.arange(40)
    return session, [part.read(numbers) - film.frames[numbers] for part, film in zip(session.shown, shown, strict=True)]


def test_an_experanto_screen_may_mix_bytes_and_fractions_in_any_order(tmp_path: Path) -> None:
    ways = [lambda film: film, lambda film: (film / 255).astype(np.float32), lambda film: film.astype(np.uint16) * 257]
    session, errors = pieces(tmp_path, *ways)
    assert max(float(np.abs(error).max()) for error in errors) < 0.01
    assert session.decided["scale"] == (
        "uint8: 0 is black, 255 is white; float: 0 is black, 1 is white; uint16: 0 is black, 65535 is white"
    )


def test_an_experanto_screen_of_floats_may_begin_black(tmp_path: Path) -> None:
    """Also that it is black for a whole entry, and that the recording says what was decided."""

    def fading(film: Array) -> Array:
        return np.where(np.arange(len(film))[:, None, None] < 30, 0, film).astype(np.float32)

    session, errors = pieces(tmp_path, lambda film: film.astype(np.float32) * 0, fading, lambda film: film / 1.0)
    assert not session.shown[0].read(np.arange(40)).any()
    assert np.abs(errors[1][30:]).max() == 0 and np.abs(errors[2]).max() == 0
    recording = convert(session, tmp_path / "recording", Conversion(test=0.0))
    assert recording.made_by["decided"]["scale"] == "float: 0 is black, 255 is white"


def test_an_experanto_screen_of_one_type_and_two_scales_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"00000: expected float grey levels of one scale"):
        pieces(tmp_path, lambda film: film / 255.0, lambda film: film / 1.0)


def test_an_entry_of_two_files_is_refused(tmp_path: Path) -> None:
    path = worlds.write_experanto(tmp_path / "mouse", films(30.0)[:2])
    Image.fromarray(np.zeros((9, 16), np.uint8)).save(path / "screen/data/00000.png")
    with pytest.raises(InputError, match=r"expected one file of entry 00000, got 00000\.png, 00000\.npy"):
        session_of(path)


@pytest.mark.parametrize("way", ["fraction", "float", "word"])
def test_twins_and_stills_are_read_at_their_scale(way: str, tmp_path: Path) -> None:
    kind, factor = {"fraction": ("float32", 1 / 255), "float": ("float64", 1), "word": ("uint16", 257)}[way]
    twin = worlds.write_twin(tmp_path / "twin", films(30.0)[:4], scale=1)
    stills = worlds.write_stills(tmp_path / "stills", images=12, scale=1)
    for path in (twin, stills):
        before = [shown.read(np.arange(1)) for shown in session_of(path).shown]
        for file in [*path.rglob("stimuli/**/*.npy"), *path.rglob("images/*.npy")]:
            np.save(file, (np.rint(np.load(file).astype(np.float64)) * factor).astype(kind))
        session = session_of(path)
        for shown, levels in zip(session.shown, before, strict=True):
            np.testing.assert_allclose(shown.read(np.arange(1)), np.rint(levels), atol=0.01)
        assert f"{ {'fraction': 1, 'float': 255, 'word': 65535}[way] } is white" in session.decided["scale"]


def test_colour_is_stated(tmp_path: Path) -> None:
    twin = worlds.write_twin(tmp_path / "twin", films(30.0)[:4], scale=1)
    for file in twin.rglob("stimuli/**/*.npy"):
        np.save(file, np.load(file).repeat(3, -1) * np.array([1, 0, 0], np.uint8))
    session = session_of(twin)
    assert session.decided["scale"] == (
        "uint8: 0 is black, 255 is white; colour becomes grey, 0.299 R + 0.587 G + 0.114 B (Rec. 601)"
    )
    red = np.load(next((twin / "training_data/stimuli").glob("*0.npy")))[0, ..., 0]
    np.testing.assert_allclose(session.shown[0].read(np.arange(1))[0], 0.299 * red, atol=1e-3)


def test_pictures_keep_sixteen_bits_and_say_what_cannot_be_shown(tmp_path: Path) -> None:
    deep = np.array([[0, 256], [32768, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png")[0], deep)
    rgba = np.zeros((4, 4, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match="expected an opaque picture, got transparent pixels"):
        read_picture(tmp_path / "clear.png")
    rgba[..., 3], rgba[..., 0] = 255, 200
    Image.fromarray(rgba).save(tmp_path / "solid.png")
    assert read_picture(tmp_path / "solid.png").tolist() == rgba[None, ..., :3].tolist()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgba[..., 0]).save(tmp_path / "turned.jpg", exif=exif)
    with pytest.raises(InputError, match="expected an upright picture, got EXIF orientation 6"):
        read_picture(tmp_path / "turned.jpg")


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (("uint8", "float32"), "uint8: 0 is black, 255 is white; float: 0 is black, 1 is white"),
        (("uint16",), "uint16: 0 is black, 65535 is white"),
    ],
)
def test_imported_arrays_have_the_scale_of_their_type(ways: tuple[str, ...], said: str, tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (240, 9, 16)).astype(np.uint8)
    factor = {"uint8": 1, "float32": 1 / 255, "uint16": 257}
    parts = [
        (part * np.float64(factor[way])).astype(way)
        for way, part in zip(ways, np.split(levels, len(ways)), strict=True)
    ]
    recording = import_arrays(
        tmp_path / "r", movie=[*parts] if len(parts) > 1 else parts[0], responses=np.ones((2, 240)), frame_rate=30.0,
        trial_frames=40,
    )  # fmt: skip
    found = np.concatenate([recording.trial(index).movie[0].numpy() * 255 for index in range(6)])
    np.testing.assert_allclose(found, levels, atol=0.51)
    assert recording.made_by["decided"]["scale"] == said
