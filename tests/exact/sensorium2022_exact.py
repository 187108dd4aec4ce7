"""The static baselines of Sensorium 2022 against the public code: the published weights, the same frames.

    python tests/exact/sensorium2022_exact.py CHECKPOINTS

CHECKPOINTS is the folder with `sensorium_{sota,ln}_model.pth` and `sensorium_p_{sota,ln}_model.pth`. The public modules
are those of neuralpredictors, put together as the notebooks of sinzlab/sensorium do.
"""

from __future__ import annotations

import argparse
import collections
import collections.abc
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
FILES = {"sota": "cnn", "ln": "ln", "p_sota": "cnn", "p_ln": "ln"}


def public_model(state: dict[str, Tensor], mouse: str, *, linear: bool) -> Any:
    """Return the public encoder with these weights, in evaluation mode."""
    # neuralpredictors' cores import a name that Python 3.10 took away.
    collections.Iterable = collections.abc.Iterable
    cores: Any = importlib.import_module("neuralpredictors.layers.cores")
    encoders: Any = importlib.import_module("neuralpredictors.layers.encoders")
    readouts: Any = importlib.import_module("neuralpredictors.layers.readouts")
    shifters: Any = importlib.import_module("neuralpredictors.layers.shifters")
    inputs = state["core.features.layer0.conv.weight"].shape[1]
    layers = 3 if linear else 4
    core = cores.Stacked2dCore(
        inputs, 64, 9, 7, layers, pad_input=False, stack=-1, depth_separable=True, linear=linear,
        input_regularizer="LaplaceL2norm", laplace_padding=None, bias=False,
    )  # fmt: skip
    places = state[f"readout.{mouse}.source_grid"]
    readout = readouts.FullGaussian2d(
        (64, 28, 56), len(places), True, init_sigma=0.1, init_mu_range=0.3, source_grid=np.array(places),
        grid_mean_predictor={"hidden_layers": 1, "hidden_features": 30, "final_tanh": True},
    )  # fmt: skip
    shifter = shifters.MLPShifter([mouse], 2, 5, 3) if any("shifter" in name for name in state) else None
    chosen = _Chosen({mouse: readout})
    model = encoders.FiringRateEncoder(core=core, readout=chosen, shifter=shifter)
    model.load_state_dict(state)
    return model.eval()


class _Chosen(torch.nn.ModuleDict):
    """The readout of the mouse that is asked for, as the public multi-readout gives it."""

    def forward(self, x: Tensor, data_key: str, **options: Any) -> Tensor:
        rates: Tensor = self[data_key](x, **options)
        return rates


def world(frames: int = 6) -> tuple[Tensor, Tensor]:
    """Return a movie `[1,1,T,36,64]` in [0,1] and behavior `[1,4,T]`."""
    generator = torch.Generator().manual_seed(0)
    movie = torch.rand(1, 1, frames, 36, 64, generator=generator)
    return movie, torch.rand(1, 4, frames, generator=generator)


@torch.no_grad()
def main() -> None:
    """Print the largest differences of the four checkpoints."""
    options = argparse.ArgumentParser()
    options.add_argument("checkpoints", type=Path)
    chosen = options.parse_args()
    from recon.encoders.sensorium.static2022 import load_sensorium2022

    movie, behavior = world()
    for name, kind in FILES.items():
        path = chosen.checkpoints / f"sensorium_{name}_model.pth"
        state = torch.load(path, weights_only=True, map_location="cpu")
        ours = load_sensorium2022(path, "cnn" if kind == "cnn" else "ln")
        model = public_model(state, ours.mouse, linear=kind == "ln")
        frames = (movie[0, 0, :, None] * 255 - 113) / 60
        pupil = behavior[0, 2:].T if ours.shifter is not None else None
        if ours.behaving:
            dilation, running = behavior[0, 0], behavior[0, 1]
            change = torch.cat([torch.zeros(1), dilation.diff() * 30])
            states = torch.stack([dilation, change, running], 1)
            frames = torch.cat([frames, states[..., None, None].expand(-1, -1, 36, 64)], 1)
        theirs = model(frames, data_key=ours.mouse, pupil_center=pupil).T
        difference = (ours(movie, behavior)[0] - theirs).abs()
        sys.stdout.write(
            f"{path.name}: {len(theirs)} neurons, mouse {ours.mouse}, mean rate {theirs.mean():.3g}, largest "
            f"difference over largest rate {difference.max() / theirs.max():.3g}, "
            f"largest relative {(difference / theirs.abs().clamp_min(1e-3)).max():.3g}\n"
        )


if __name__ == "__main__":
    main()
