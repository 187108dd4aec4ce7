"""A benchmark of 20,000 neurons: ridge has more features than frames by far, and ends like any other row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from worlds.bench import configuration, write_encoder

from recon import cli
from recon.data.sensorium import SensoriumRecording
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY

NEURONS = 20_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ridge_of_twenty_thousand_neurons_ends_with_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = SensoriumRecording(simulate(tmp_path / "recording", replace(TINY, neurons=NEURONS), progress=False))
    write_encoder(tmp_path / "encoder0.safetensors", recording, seed=0)
    tree = configuration(tmp_path)
    tree |= {"encoders": {"first": tree["encoders"]["first"]}, "judge": None, "rows": tree["rows"][:1]}
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "bench.yaml")
    assert cli.main(["benchmark", str(tmp_path / "bench.yaml"), "clips.count=2"]) == 0
    assert "[1/1] ridge: finished" in capsys.readouterr().out
