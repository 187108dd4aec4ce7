"""A learnt transparency mask against the truth of a simulated population that covers a part of the screen.

    recon simulate recordings/coverage coverage=0.1 patches=2 seed=1
    recon train encoder configs/train/v1_seed0.yaml recording=recordings/coverage output=runs/coverage/seed0.safetensors
    recon train mask configs/bauer2025/mask_part.yaml
    python tests/exact/mask_coverage.py recordings/coverage runs/coverage/mask.npy

Truth, fixed beforehand: where the envelopes of all cells, each 1 at its peak, sum to 10 % of their largest sum. Beside
the learnt mask at 0.5 stand all ones and the best of all discs, which is chosen with the truth in hand.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.data.mask_files import read_mask
from recon.data.open import open_recording
from recon.simulate.cells import planted
from recon.simulate.filters import covered
from recon.train.mask import iou

RADII = np.arange(2.0, 40.0, 0.5)


def best_disc(truth: Tensor) -> float:
    """Return the highest intersection over union of any disc with the truth `[H,W]`."""
    height, width = truth.shape
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    best = 0.0
    for row, column in itertools.product(range(0, height, 2), range(0, width, 2)):
        distance = (rows - row).square() + (columns - column).square()
        best = max(best, *(iou(distance <= radius**2, truth) for radius in RADII))
    return best


def main() -> None:
    """Print three figures."""
    options = argparse.ArgumentParser()
    options.add_argument("recording", type=Path)
    options.add_argument("mask", type=Path)
    chosen = options.parse_args()
    recording = open_recording(chosen.recording)
    truth = torch.from_numpy(covered(planted(chosen.recording), recording.frame_size, recording.degrees_per_pixel))
    learnt = read_mask(chosen.mask, recording.frame_size) >= 0.5
    sys.stdout.write(
        f"truth covers {truth.float().mean():.2f} of the screen, the learnt mask {learnt.float().mean():.2f}\n"
        f"intersection over union: learnt {iou(learnt, truth):.3f}, best disc {best_disc(truth):.3f}, "
        f"all ones {iou(torch.ones_like(truth), truth):.3f}\n"
    )


if __name__ == "__main__":
    main()
