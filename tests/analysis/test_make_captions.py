"""Captions by image-to-text models: a tiny one of each family, resume, and what cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from worlds import captioners as tiny_captioners

from recon.analysis.language.captioner import ImageCaptioner
from recon.analysis.language.make_captions import Stretches, make_captions
from recon.cli import main
from recon.data.caption_tables import read_captions
from recon.data.sensorium import SensoriumRecording


@pytest.fixture(scope="module")
def recording(world: Path) -> SensoriumRecording:
    return SensoriumRecording(world / "recording")


@pytest.mark.parametrize("family", list(tiny_captioners.FAMILIES))
def test_each_family_says_its_own_words(family: str, tmp_path: Path) -> None:
    folder = tiny_captioners.build(family, tmp_path / "model")
    frames = 3 if family == "git of movies" else 1
    captioner = ImageCaptioner(str(folder), frames, longest=6)
    pictures = list(torch.rand(6, frames, 36, 64, generator=torch.Generator().manual_seed(0)))
    texts = captioner(pictures)
    assert len(texts) == 6 and all(set(text.split()) <= set(tiny_captioners.WORDS) | {"[UNK]"} for text in texts)
    assert any(texts) and (family == "blip" or len(set(texts)) > 1)  # a random BLIP says the same of all pictures
    assert captioner(pictures) == texts == captioner(pictures[:1]) + captioner(pictures[1:])
    assert captioner([]) == []


def test_movies_are_refused_by_models_of_pictures(tmp_path: Path) -> None:
    folder = tiny_captioners.build("blip", tmp_path / "model")
    with pytest.raises(ValueError, match=r"a blip of 1 frame\(s\) for 3; lower frames"):
        ImageCaptioner(str(folder), 3)([torch.rand(3, 8, 8)])
    with pytest.raises(ValueError, match=r"expected 1 frames \[F,H,W\], got \(2, 8, 8\)"):
        ImageCaptioner(str(folder))([torch.rand(2, 8, 8)])


def test_a_model_that_is_not_to_be_had_is_not_replaced(recording: SensoriumRecording, tmp_path: Path, capsys) -> None:
    table = tmp_path / "captions.csv"
    assert main(["captions", "make", str(recording.path), str(table), "--model", str(tmp_path / "absent")]) == 2
    said = capsys.readouterr().err
    assert "not available" in said and "download one to a folder" in said and not table.exists()


class Brightness:
    """A captioner that says how bright a picture is, and stops after some calls."""

    def __init__(self, calls: int = 10**6) -> None:
        self.calls, self.seen = calls, 0

    def __call__(self, pictures: list[Tensor]) -> list[str]:
        if self.seen == self.calls:
            raise KeyboardInterrupt
        self.seen += 1
        return [f"grey {float(picture.mean()):.3f}" if float(picture.mean()) < 0.99 else "" for picture in pictures]


def test_a_stopped_table_goes_on_and_repeats_are_looked_at_once(recording: SensoriumRecording, tmp_path: Path) -> None:
    stretches, whole = Stretches(every=50, batch=2), tmp_path / "whole.csv"
    made = make_captions(recording, Brightness(), whole, name="grey", stretches=stretches)
    lengths: dict[str, int] = {}
    for trial in (trial for trial, tier in enumerate(recording.tiers) if tier != "none"):
        lengths.setdefault(recording.video_ids[trial], recording.length(trial))
    said = read_captions(whole, recording)["grey"]
    assert made == sum(len(stretches.of(length)) for length in lengths.values()) < len(said)
    assert {(one.trial, one.end) for one in said} >= {(0, 50), (0, recording.length(0))}
    movie = recording.trial(0).movie[0]
    assert next(one.text for one in said if one.trial == 0) == f"grey {float(movie[25].mean()):.3f}"

    stopped = tmp_path / "stopped.csv"
    with pytest.raises(KeyboardInterrupt):
        make_captions(recording, Brightness(calls=7), stopped, name="grey", stretches=stretches)
    before = read_captions(stopped, recording)["grey"]
    assert 0 < len(before) < len(said)
    make_captions(recording, Brightness(), stopped, name="grey", stretches=stretches)
    assert stopped.read_bytes() == whole.read_bytes()
    make_captions(recording, lambda pictures: ["dark"] * len(pictures), stopped, name="other", stretches=stretches)
    both = read_captions(stopped, recording)
    assert both["grey"] == said and {one.text for one in both["other"]} == {"dark"}


def test_stretches_and_tables_of_another_kind_are_refused(recording: SensoriumRecording, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected stretches of at least 3 frame\(s\)"):
        Stretches(every=2, frames=3)
    with pytest.raises(ValueError, match=r"expected a table that ends with \.csv, got .json"):
        make_captions(recording, Brightness(), tmp_path / "a.json", name="x", stretches=Stretches())


def test_the_command_captions_a_recording(recording: SensoriumRecording, tmp_path: Path, capsys) -> None:
    folder, table = tiny_captioners.build("vit_gpt2", tmp_path / "tiny-vit"), tmp_path / "captions.csv"
    asked = ["captions", "make", str(recording.path), str(table), "--model", str(folder)]
    assert main([*asked, "--every", "150", "--longest", "3", "--device", "cpu"]) == 0
    assert "captions by tiny-vit" in capsys.readouterr().out
    assert list(read_captions(table, recording)) == ["tiny-vit"]
