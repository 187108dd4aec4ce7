"""`recon data check` on a folder or file of every format says on one screen what was decided when it was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from worlds import formats, formats_nwb

from recon import cli
from recon.data.formats.arrays_import import import_arrays

TOPICS = ("format", "signal", "scale", "rate", "angle", "clock", "tiers", "missing")
SCREEN = 50
"""Lines of a screen."""


def written(kind: str, folder: Path) -> Path:
    films = [formats.film(4, rate=30.0, start=1 + 6 * k, seed=10 + k) for k in range(3)]
    if kind == "arrays":
        movie = np.random.default_rng(0).integers(0, 256, (240, 9, 16), dtype=np.uint8)
        responses = np.random.default_rng(1).random((3, 240))
        return import_arrays(folder / "one", movie=movie, responses=responses, frame_rate=30, trial_frames=60).path
    if kind == "allen":
        return formats_nwb.write_allen(folder / "one.nwb", seconds=36.0)[0]
    if kind == "neuropixels":
        return formats_nwb.write_neuropixels(folder / "one.nwb", seconds=36.0)[0]
    if kind == "microns":
        return formats_nwb.write_microns(folder / "one.nwb", films)
    if kind == "sensorium2022":
        return formats.write_stills(folder / "one", images=12, scale=1)
    writers = {"twin": formats.write_twin, "mouse": formats.write_mouse, "experanto": formats.write_experanto}
    return writers[kind](folder / "one", films)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("mouse", {"format": "as published", "rate": "30 Hz, assumed", "tiers": "train"}),
        ("arrays", {"format": "`recon data import`", "rate": "30 Hz", "tiers": "split by content"}),
        ("experanto", {"format": "experanto", "clock": "own clocks of the streams; responses"}),
        ("twin", {"format": "twin", "clock": "share the clock"}),
        ("sensorium2022", {"format": "sensorium2022"}),
        ("allen", {"format": "allen", "tiers": "split by content", "signal": "calcium"}),
        ("microns", {"format": "nwb", "signal": "calcium", "tiers": "split by content"}),
        ("neuropixels", {"format": "nwb", "signal": "spikes", "clock": "spikes are counted"}),
    ],
)
def test_a_check_says_what_was_decided(
    kind: str, said: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", "check", str(written(kind, tmp_path))]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line[:10].strip(): line[10:] for line in lines[1:]}
    assert [topic for topic in TOPICS if topic not in found] == [] and len(lines) <= SCREEN
    for topic, part in said.items():
        assert part in found[topic], found[topic]
