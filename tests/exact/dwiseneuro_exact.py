"""DwiseNeuro against the public code: the same random weights, one trial, the largest relative difference.

    python tests/exact/dwiseneuro_exact.py PATH_OF_A_CLONE [--frames 300] [--divide 1] [--golden FILE]

The clone is that of lRomul/sensorium; its code needs `pip install pytorch-argus`. `--divide 4` makes every width a
quarter of the published one. `--golden` writes names, shapes and reference values of a narrow network instead, from
the public code alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
worlds: Any = importlib.import_module("worlds.dwiseneuro")

MOUSE = 1


def published(divide: int) -> dict[str, Any]:
    """Return the published hyper-parameters of Bauer's and the basic checkpoints, two mice for speed."""
    widths = (64, 64, 64, 64, 128, 128, 128, 256, 256)
    return {
        **worlds.NARROW,
        "readout_outputs": (7863, 7908),
        "core_features": tuple(width // divide for width in widths),
        "spatial_strides": (2, 1, 1, 1, 2, 1, 1, 2, 1),
        "expansion_ratio": 7,
        "se_reduce_ratio": 32,
        "cortex_features": tuple(width // divide for width in (1024, 2048, 4096)),
    }


def save_checkpoint(network: dict[str, Any], path: Path) -> dict[str, tuple[int, ...]]:
    """Save random weights of the public network in the published form; return names and shapes."""
    from src.models.dwiseneuro import DwiseNeuro

    model = DwiseNeuro(**network)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    state = worlds.random_state(shapes)
    model.load_state_dict(state)
    torch.save({"model_name": "MouseModel", "params": worlds.params(network), "nn_state_dict": state}, path)
    return shapes


def public_prediction(network: dict[str, Any], path: Path, frames: int) -> torch.Tensor:
    """Return rates `[N,T]` of the public sliding-window predictor."""
    from src import constants
    from src.predictors import Predictor

    constants.num_neurons = list(network["readout_outputs"])
    movie, behavior = (part.numpy() for part in worlds.trial(frames))
    predictor = Predictor(path, device="cpu")
    return torch.from_numpy(predictor.predict_trial(movie.transpose(1, 2, 0), behavior[:2], behavior[2:], MOUSE))


def main() -> None:
    """Compare, or write golden values."""
    options = argparse.ArgumentParser()
    options.add_argument("clone")
    options.add_argument("--frames", type=int, default=300)
    options.add_argument("--divide", type=int, default=1)
    options.add_argument("--golden", type=Path)
    chosen = options.parse_args()
    sys.path.insert(0, chosen.clone)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model-000-0.1.pth"
        if chosen.golden:
            shapes = save_checkpoint(worlds.NARROW, path)
            rates = public_prediction(worlds.NARROW, path, 40)
            tree = {"shapes": shapes, "mouse": MOUSE, "rates": rates[:, [0, 1, 9, 20, 31, 39]].tolist()}
            chosen.golden.write_text(json.dumps(tree) + "\n")
            return
        _compare(published(chosen.divide), path, chosen.frames)


def _compare(network: dict[str, Any], path: Path, frames: int) -> None:
    from recon.encoders.dwiseneuro.encoder import load_dwiseneuro

    save_checkpoint(network, path)
    started = time.perf_counter()
    theirs = public_prediction(network, path, frames)
    middle = time.perf_counter()
    movie, behavior = worlds.trial(frames)
    encoder = load_dwiseneuro(path, str(MOUSE))
    with torch.no_grad():
        ours = encoder(movie[None, None] / 255, behavior[None])[0]
    ended = time.perf_counter()
    difference = (ours - theirs).abs()
    sys.stdout.write(
        f"widths {network['core_features']}, {frames} frames, {len(ours)} neurons, deviation {theirs.std():.3g}\n"
        f"largest difference over largest rate: {difference.max() / theirs.max():.3g}\n"
        f"largest relative difference of any rate: {(difference / theirs.abs().clamp_min(1e-12)).max():.3g}\n"
        f"seconds: public {middle - started:.1f}, ours {ended - middle:.1f}, threads {torch.get_num_threads()}\n"
    )


if __name__ == "__main__":
    main()
