"""A recording of one neuron: nothing is left for the sets that select and score, and the table says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon.encoders.base import Spec
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.errors import InputError

SMALL = CoreReadoutSettings(core=CoreSettings(lags=3, temporal=2, kernel=2, features=4, mixing=1, hidden=4))


def test_one_neuron_is_reconstructed_and_scored_by_what_is_defined(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    mouse = recon.from_arrays(
        random.random((480, 9, 16)),
        random.random((1, 480)),
        degrees_per_pixel=8.0,
        trial_frames=60,
        unit_ids=["cell_12"],
        folder=tmp_path / "mouse",
    )
    encoder = CoreReadout(Spec((9, 16), mouse.reader.unit_ids, 30.0, 8.0), SMALL)
    encoder.initialise(torch.Generator().manual_seed(0))
    fidelities = {"mixture": {"name": "mixture"}, "gaussian": {"name": "gaussian"}, "low_rank": {"name": "low_rank"}}
    quick = {"preset": "map_spectrum", "iterations": 1}
    rows = {"ridge": "ridge"} | {name: {"method": quick, "fidelity": one} for name, one in fidelities.items()}
    clips, short = mouse.clips("test", count=1), {"frames": (4, 2), "device": "cpu", "progress": False}
    table = recon.compare(clips, encoder, rows, judge=encoder, neurons=(0.0, 0.0), run=tmp_path / "run", **short)
    assert {row["status"] for row in table.rows} == {"finished"}
    for row in table.rows:
        assert np.isfinite(float(row["video_correlation"]))
        assert "heldout_neuron_correlation undefined without report neurons" in row["message"]
        assert "judge_correlation undefined without report neurons" in row["message"]
    with pytest.raises(
        InputError, match=r"neurons: expected at least 3 for as many sets, got 1; set neurons\.selection"
    ):
        recon.compare(clips, encoder, {"ridge": "ridge"}, **short)
