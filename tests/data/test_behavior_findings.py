"""What the check says of behavior that was not recorded."""

from __future__ import annotations

import numpy as np

from recon.data.behavior_findings import behavior_findings
from recon.data.open import open_recording
from recon.data.survey import survey


def test_streams_that_are_absent_and_trials_with_gaps_are_named(published) -> None:
    root = published()
    recording = open_recording(root)
    assert behavior_findings(recording, survey(recording)) == []
    listed = [index for index, tier in enumerate(recording.tiers) if tier != "none"]
    for index in listed:
        (root / f"data/pupil_center/{index}.npy").unlink()
    array = np.load(root / "data/behavior/1.npy")
    array[0, 10:20] = np.nan
    np.save(root / "data/behavior/1.npy", array)
    recording = open_recording(root)
    (never, gaps) = behavior_findings(recording, survey(recording))
    assert never[0] == "note" and never[1].startswith("pupil x, pupil y: in no trial")
    assert gaps[0] == "warning" and "pupil dilation: unknown in 25% of the frames of 1 trials (1)" in gaps[1]
