"""Facts of a recording that other formats have no place for: written beside their files, read back by our readers."""

from __future__ import annotations

from typing import Any

from recon.data.sensorium import SensoriumRecording


def header_of(recording: SensoriumRecording) -> dict[str, Any]:
    """Return the entries of `meta/recording.json` without acquisition times, which need the planes of the neurons.

    Zeros are counts: trials whose responses were withheld are written without any.
    """
    return {
        "name": recording.name,
        "frame_rate": recording.frame_rate,
        "degrees_per_pixel": recording.degrees_per_pixel,
        **({"signal": recording.signal} if recording.signal else {}),
        "zeros": "counts",
        "made_by": {**recording.made_by, "activity": recording.activity},
    }
