"""The packaged example: small, whole, with an encoder trained on it, and a reconstruction that looks like one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from worlds.bench import make_world

import recon
from recon.api.example import PACKED
from recon.api.packing import pack, unpacked
from recon.encoders.checkpoints import SHIPPED

TEN_LINES = """
import recon
mouse = recon.example()
encoder = recon.load_encoder("example", device="auto")
clips = mouse.clips("test", count=1)
result = recon.reconstruct(clips, encoder, {"preset": "map_spectrum", "iterations": 4})
scores = result.scores()
result.show()
result.save(folder / "clip.mp4")
"""


def test_it_is_small_and_its_encoder_belongs_to_it() -> None:
    assert sum(file.stat().st_size for file in (PACKED, SHIPPED / "example.safetensors")) < 5e6
    mouse, encoder = recon.example(), recon.load_encoder("example", device="cpu")
    assert mouse.neurons == 200 and mouse.trials == {"train": 15, "oracle": 9, "live_test_main": 12}
    assert encoder.spec.neuron_ids == mouse.reader.unit_ids and encoder.spec.frame_size == mouse.reader.frame_size
    assert encoder.card["data"]["recording"] == mouse.name and encoder.card["validation_correlation"] > 0.2


def test_the_ten_lines_run(tmp_path: Path) -> None:
    names = {"folder": tmp_path}
    exec(TEN_LINES, names)
    assert names["scores"]["video_correlation"].min() > 0.2 and (tmp_path / "clip.mp4").is_file()


def test_packing_keeps_a_recording(tmp_path: Path) -> None:
    source = recon.open_recording(make_world(tmp_path).parent / "recording").reader
    again = unpacked(pack(source.path, tmp_path / "recording.zip"), tmp_path / "again")
    assert (again.tiers, again.name, again.unit_ids) == (source.tiers, source.name, source.unit_ids)
    for index in (0, 6, 20):
        was, now = source.trial(index), again.trial(index)
        assert torch.equal((now.movie * 255).round(), (was.movie * 255).round() // 8 * 8 + 4)
        np.testing.assert_allclose(now.responses, was.responses, rtol=0.033, atol=1e-4)
        assert now.caption == was.caption and again.scenes(index) == source.scenes(index)
    assert [i for i in range(len(again.tiers)) if again.trial(i).rates is None] == list(again.trials("train"))
    assert now.behavior is not None


@pytest.mark.slow
def test_the_refined_method_runs_on_it() -> None:
    mouse = recon.example()
    clips = mouse.clips("test", count=1)
    text = "a large disc moves to the left"
    result = recon.reconstruct(clips, "example", "refined", text=text)
    assert result.scores()["video_correlation"].min() > 0.35
