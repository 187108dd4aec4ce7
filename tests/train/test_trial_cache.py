"""Trials that are read when they are drawn: parts of them, and clips that do not fit into memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recon.data.sensorium import SensoriumRecording
from recon.encoders.training.clips import draw_chunks
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.train.trial_cache import KeptClips, Room, clip_of


def test_parts_of_trials_are_those_of_the_whole(tmp_path: Path) -> None:
    recording = SensoriumRecording(simulate(tmp_path / "w", TINY, progress=False))
    for index in (recording.trials("train")[1], recording.trials("live_test_main")[0]):
        whole = recording.trial(index)
        assert recording.length(index) == whole.movie.shape[1]
        part = SensoriumRecording(recording.path).part(index, 7, 31)
        assert (part.video_id, part.tier, part.caption) == (whole.video_id, whole.tier, whole.caption)
        for name in ("movie", "responses", "behavior", "rates"):
            mine, expected = getattr(part, name), getattr(whole.cut(7, 31), name)
            assert (mine is None and expected is None) or torch.equal(mine, expected)
        with pytest.raises(ValueError, match="expected frames within 0–"):
            recording.part(index, 7, 3000)


def test_clips_that_do_not_fit_into_memory_are_drawn_alike(tmp_path: Path) -> None:
    recording = SensoriumRecording(simulate(tmp_path / "w", TINY, progress=False))
    drawn = []
    for room in (Room(1e9), Room(0)):
        clips = KeptClips(recording, recording.trials("train"), room)
        generator = torch.Generator().manual_seed(3)
        drawn.append([draw_chunks(clips, generator, batch=3, frames=20) for _ in range(2)])
        assert (room.full, bool(clips.kept)) == (room.left == 0, room.left > 0)
    listed = [clip_of(recording.trial(index)) for index in recording.trials("train")]
    generator = torch.Generator().manual_seed(3)
    drawn.append([draw_chunks(listed, generator, batch=3, frames=20) for _ in range(2)])
    for others in drawn[1:]:
        for mine, other in zip(drawn[0], others, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))
