"""The baselines of Sensorium 2023 against the public code: random weights and BatchNorm statistics, the same trial.

    python tests/exact/sensorium2023_exact.py CLONE NEURALPREDICTORS [--frames 60] [--double] [--golden FILE]

CLONE is a checkout of ecker-lab/sensorium_2023, NEURALPREDICTORS one of sinzlab/neuralpredictors: the version that the
first names cannot build its own notebook's factorised core, whose layers differ in width, so take its newest.
`--golden` writes names, shapes and rates of narrow networks for tests/golden/sensorium2023.json.
"""

from __future__ import annotations

import argparse
import collections
import collections.abc
import copy
import importlib
import json
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

worlds: Any = importlib.import_module("worlds.sensorium2023")

READOUT = {
    "bias": True,
    "init_mu_range": 0.2,
    "init_sigma": 1.0,
    "gamma_readout": 0.0,
    "gauss_type": "full",
    "grid_mean_predictor": {
        "type": "cortex",
        "input_dimensions": 2,
        "hidden_layers": 1,
        "hidden_features": 30,
        "final_tanh": True,
    },
    "share_features": False,
    "share_grid": False,
    "shared_match_ids": None,
    "gamma_grid_dispersion": 0.0,
}
SHIFTER = {"gamma_shifter": 0, "shift_layers": 3, "input_channels_shifter": 2, "hidden_channels_shifter": 5}


class Point(NamedTuple):
    """A trial with the fields of the public loaders."""

    videos: Any
    responses: Any
    behavior: Any
    pupil_center: Any


class Loader:
    """One mouse's batches, as far as the public model asks for them."""

    def __init__(self, neurons: int) -> None:
        places = np.random.default_rng(neurons).normal(size=(neurons, 3))
        self.dataset = types.SimpleNamespace(neurons=types.SimpleNamespace(cell_motor_coordinates=places))
        video, behavior = torch.zeros(1, 3, 30, 36, 64), torch.zeros(1, 2, 30)
        self.batch = Point(video, torch.ones(1, neurons, 30), behavior, behavior)

    def __iter__(self) -> Iterator[Point]:
        return iter([self.batch])


def public_module(name: str) -> Any:
    """Import a public module; the seeding function it takes from nnfabrik stands in."""
    # Some versions import a name that Python 3.10 took away.
    collections.Iterable = collections.abc.Iterable
    helpers: Any = types.ModuleType("nnfabrik.utility.nn_helpers")
    helpers.set_random_seed = torch.manual_seed
    for part in ("nnfabrik", "nnfabrik.utility"):
        sys.modules.setdefault(part, types.ModuleType(part))
    sys.modules[helpers.__name__] = helpers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def public_model(configuration: dict[str, Any]) -> Any:
    """Return the public model in evaluation mode, with random weights but its own Hermite functions."""
    chosen = copy.deepcopy(configuration)
    loaders = {"train": {mouse: Loader(neurons) for mouse, neurons in worlds.MICE.items()}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = public_module("sensorium.models.make_model").make_video_model(
            loaders, 0, chosen["core"], chosen["type"], copy.deepcopy(READOUT), "gaussian",
            use_gru="gru" in chosen, gru_dict=chosen.get("gru"),
            use_shifter=True, shifter_dict=dict(SHIFTER), shifter_type="MLP",
        )  # fmt: skip
    state = model.state_dict()
    drawn = worlds.random_state({name: value.shape for name, value in state.items()})
    fixed = {name: value for name, value in state.items() if "rotate_hermite" in name or "laplace" in name}
    model.load_state_dict(drawn | fixed)
    return model.eval()


def public_rates(model: Any, frames: int) -> Tensor:
    """Return `[N,T−lost]`: the trial through the public normaliser, channels and model."""
    transforms = public_module("neuralpredictors.data.transforms")
    movie, behavior = (part.numpy() for part in worlds.trial(frames))
    movie_type = torch.get_default_dtype()
    (mean, deviation), pupil = worlds.IMAGE, [np.array(part)[:, None] for part in worlds.PUPIL]
    data = types.SimpleNamespace(
        data_keys=["videos", "responses", "behavior", "pupil_center"],
        statistics={
            "videos": {"all": {"mean": np.array(mean), "std": np.array(deviation)}},
            "responses": {"all": {"std": np.ones((1, 1))}},
            "behavior": {"all": {"std": np.array(worlds.BEHAVIOR)[:, None]}},
            "pupil_center": {"all": {"mean": pupil[0], "std": pupil[1]}},
        },
        _len=1,
    )
    point = Point(movie[None], np.zeros((worlds.MICE[worlds.MOUSE], frames)), behavior[:2], behavior[2:])
    point = transforms.NeuroNormalizer(data, in_name="videos")(point)
    point = transforms.AddBehaviorAsChannels("videos")(point)
    batch = {name: torch.from_numpy(value[None]).to(movie_type) for name, value in point._asdict().items()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rates: Tensor = model(batch["videos"], data_key=worlds.MOUSE, **batch)[0].T
    return rates


def golden(file: Path) -> None:
    """Write what the tests hold the encoders to."""
    tree: dict[str, Any] = {"published": {}, "narrow": {}, "rates": {}}
    for kind, configuration in worlds.PUBLISHED.items():
        whole = public_model(configuration).state_dict()
        tree["published"][kind] = {name: list(value.shape) for name, value in whole.items()}
        model = public_model(worlds.narrow(kind))
        shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
        model.load_state_dict(worlds.random_state(shapes))
        rates = public_rates(model, worlds.FRAMES)
        lost = worlds.FRAMES - rates.shape[1]
        kept = [frame for frame in worlds.CHOSEN if frame >= lost]
        tree["narrow"][kind] = shapes
        tree["rates"][kind] = {str(frame): rates[:, frame - lost].tolist() for frame in kept}
    file.write_text(json.dumps(tree, separators=(",", ":")) + "\n")


@torch.no_grad()
def compare(kind: str, frames: int, dtype: torch.dtype) -> None:
    """Print the largest differences of one published configuration."""
    from recon.encoders.sensorium.movies2023 import Statistics, load_sensorium2023

    started = time.perf_counter()
    torch.set_default_dtype(torch.float32)
    model = public_model(worlds.PUBLISHED[kind]).to(dtype)
    # The public GRU makes its first state in the default precision.
    torch.set_default_dtype(dtype)
    theirs = public_rates(model, frames)
    middle = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        torch.save(model.state_dict(), Path(folder) / "final.pth")
        statistics = Statistics(worlds.IMAGE, worlds.BEHAVIOR, *worlds.PUPIL)
        encoder = load_sensorium2023(Path(folder) / "final.pth", worlds.MOUSE, statistics=statistics)
    encoder.to(dtype)
    movie, behavior = worlds.trial(frames)
    ours = encoder(movie[None, None] / 255, behavior[None])[0, :, encoder.lost :]
    ended = time.perf_counter()
    difference = (ours - theirs).abs()
    sys.stdout.write(
        f"{kind}: rates {tuple(theirs.shape)} of {frames} frames, mean {theirs.mean():.3g}, deviation in time "
        f"{theirs.std(1).mean():.3g}; largest difference over largest rate {difference.max() / theirs.max():.3g}, "
        f"largest relative {(difference / theirs.abs().clamp_min(1e-3)).max():.3g}; "
        f"seconds: public {middle - started:.1f}, ours {ended - middle:.1f}\n"
    )


def main() -> None:
    """Compare, or write golden values."""
    options = argparse.ArgumentParser()
    options.add_argument("clone")
    options.add_argument("neuralpredictors")
    options.add_argument("--frames", type=int, default=60)
    options.add_argument("--double", action="store_true")
    options.add_argument("--golden", type=Path)
    chosen = options.parse_args()
    sys.path[:0] = [chosen.clone, chosen.neuralpredictors]
    if chosen.golden:
        golden(chosen.golden)
        return
    for kind in worlds.PUBLISHED:
        compare(kind, chosen.frames, torch.float64 if chosen.double else torch.float32)


if __name__ == "__main__":
    main()
