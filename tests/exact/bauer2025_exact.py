"""The published loop against the public script: the same random weights and clip, the canvas after some iterations.

    python tests/exact/bauer2025_exact.py SCRIPT_CLONE MODEL_CLONE [--frames 64] [--divide 8] [--neurons 30]
        [--iterations 20] [--runs published saturated] [--precise] [--golden FILE]

The clones are those of Joel-Bauer/movie_reconstruction_code and lRomul/sensorium, whose code needs
`pip install pytorch-argus`. The body of the script's own loop is compiled from its source and run, up to where it
saves and plots; so are the lines that set its parameters, its mask and its start. `--precise` sums the norm that the
script takes of 655,360 entries in float64 (in float32 one thread of a CPU loses up to 1e-4 of it; ours does not).
`--golden` writes the values that the test checks, from the public code alone.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("benchmarks", "exact", "")]
worlds: Any = importlib.import_module("worlds.bauer")
dwise_exact: Any = importlib.import_module("dwiseneuro_exact")

SCRIPT = "scripts/reconstruct_videos_natural.py"
PARAMETERS = [
    "mask_update_th",
    "subbatch_size",
    "minibatch",
    "epoch_number_first",
    "n_steps",
    "epoch_reducer",
    "strides_all",
    "vid_init",
    "lr",
    "lr_warmup_epochs",
    "loss_func",
    "use_adam",
    "adam_beta1",
    "adam_beta2",
    "adam_eps",
    "with_gradnorm",
    "clip_grad",
    "input_noise",
    "pix_decay_rate",
    "optimize_given_predicted_responese",
]
START = ("mask_update", "mask_update_expanded", "video_pred")
UNUSED = ("cv2", "tifffile", "torchvision.transforms.functional", "scipy.ndimage.filters")
"""Imports of the public module that the loop does not need, stood in for where they are not installed."""


def assignment(tree: ast.Module, name: str) -> ast.stmt:
    """Return the first statement of the script that sets a name."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    return next(node for node in found if name in (n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)))


def loop(tree: ast.Module) -> ast.For:
    """Return the script's loop over iterations, up to where it saves and plots."""
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.For) and ast.unparse(n.iter) == "progress_bar")
    ends = next(i for i, part in enumerate(found.body) if "track_itter" in ast.unparse(part))
    found.body = found.body[:ends]
    return found


def execute(statements: list[ast.stmt], names: dict[str, Any]) -> None:
    """Run statements of the script in a namespace."""
    exec(compile(ast.Module(statements, []), SCRIPT, "exec"), names)


def stand_in() -> None:
    """Put empty modules where the public code imports what is not here and not needed."""
    for name in UNUSED:
        try:
            importlib.import_module(name)
        except ImportError:
            empty: Any = types.ModuleType(name)
            empty.gaussian_blur = empty.gaussian_laplace = None
            sys.modules[name] = empty


def public_names(script_clone: Path, network: dict[str, Any], folder: Path, world: Any) -> dict[str, Any]:
    """Return the namespace in which the script enters its loop: data through its own loader, model and predictor."""
    import argus

    stand_in()
    utils: Any = importlib.import_module("utils_reconstruction.utils_reconstruction")
    from src import constants

    constants.num_neurons = list(network["readout_outputs"])
    dwise_exact.save_checkpoint(network, folder / "model.pth")
    model = argus.load_model(folder / "model.pth", device="cpu", optimizer=None, loss=None)
    model.eval()
    video = torch.full((36, 64, world.frames), 127.5)
    arrays = {"video": video, "behavior": world.behavior[:2], "pupil_center": world.behavior[2:]}
    for name, value in (arrays | {"response": world.responses}).items():
        np.save(folder / f"{name}.npy", value.numpy())
    trial = {f"{name}_path": folder / f"{name}.npy" for name in (*arrays, "response")} | {"length": world.frames}
    inputs, responses, *_ = utils.load_trial_data([trial], model, 0, 0, print_dims=False)
    return {
        "torch": torch,
        "np": np,
        "utils": utils,
        "device": torch.device("cpu"),
        "mask": world.mask.numpy(),
        "inputs": inputs,
        "responses": responses,
        "population_mask": None,
        "number_models": 1,
        "predictor_withgrads": [utils.Predictor_JB(model, worlds.MOUSE, withgrads=True, dummy=False)],
    }


def public_canvas(tree: ast.Module, names: dict[str, Any], run: str, iterations: int) -> torch.Tensor:
    """Return the script's own canvas `[T,64,64]` in 0–255 after some iterations of its loop."""
    names = dict(names)
    execute([assignment(tree, name) for name in PARAMETERS], names)
    rate, clip = worlds.RUNS[run]
    if run == "published" and (names["lr"], names["clip_grad"]) != (rate, clip):
        raise ValueError(
            f"script: expected its rate {rate:g} and clip {clip:g}, got {names['lr']}, {names['clip_grad']}"
        )
    names |= {"lr": rate, "clip_grad": clip}
    execute([assignment(tree, name) for name in START], names)
    names["progress_bar"] = range(iterations)
    execute([loop(tree)], names)
    canvas: torch.Tensor = names["video_pred"].detach()[0, 0]
    return canvas


def precise_torch() -> types.ModuleType:
    """Return torch for the script, with a norm that is summed in float64."""
    module = types.ModuleType("torch")
    vars(module).update(vars(torch))
    vars(module)["norm"] = lambda tensor: tensor.double().norm().float()
    return module


def network(divide: int, neurons: int) -> dict[str, Any]:
    """Return the published network with every width divided; 0: the narrow one of the test."""
    if divide == 0:
        return dict(worlds.NARROW)
    tree: dict[str, Any] = dwise_exact.published(divide)
    return {**tree, "readout_outputs": (5, neurons)}


def golden(canvas: torch.Tensor) -> dict[str, Any]:
    """Return what the test checks of a canvas: some frames at every fourth pixel, and moments of the whole."""
    moved = canvas - worlds.GREY
    return {
        "values": [[round(float(x), 4) for x in frame[2::4, 2::4].flatten()] for frame in canvas[[0, 9, 25, 39]]],
        "norm": float(moved.norm()),
        "at_ends": int(((canvas == 0) | (canvas == 255)).sum()),
    }


def main() -> None:
    """Compare, or write golden values."""
    options = argparse.ArgumentParser()
    options.add_argument("script_clone", type=Path)
    options.add_argument("model_clone", type=Path)
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--divide", type=int, default=8)
    options.add_argument("--neurons", type=int, default=30)
    options.add_argument("--iterations", type=int, default=20)
    options.add_argument("--runs", nargs="+", choices=list(worlds.RUNS), default=list(worlds.RUNS))
    options.add_argument("--precise", action="store_true")
    options.add_argument("--golden", type=Path)
    chosen = options.parse_args()
    sys.path[:0] = [str(chosen.script_clone), str(chosen.model_clone)]
    source = (chosen.script_clone / SCRIPT).read_text()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.golden:
            world = worlds.World(worlds.FRAMES, worlds.NEURONS)
            names = public_names(chosen.script_clone, network(0, 30), Path(folder), world)
            runs = {run: golden(public_canvas(ast.parse(source), names, run, worlds.ITERATIONS)) for run in worlds.RUNS}
            chosen.golden.write_text(json.dumps(runs) + "\n")
            return
        world = worlds.World(chosen.frames, chosen.neurons)
        names = public_names(chosen.script_clone, network(chosen.divide, chosen.neurons), Path(folder), world)
        if chosen.precise:
            names["torch"] = precise_torch()
        for run in chosen.runs:
            _compare(source, names, run, chosen.iterations, world, Path(folder))


def _compare(source: str, names: dict[str, Any], run: str, iterations: int, world: Any, folder: Path) -> None:
    from recon.encoders.base import freeze
    from recon.encoders.dwiseneuro.encoder import load_dwiseneuro

    started = time.perf_counter()
    theirs = public_canvas(ast.parse(source), names, run, iterations)
    middle = time.perf_counter()
    problem = world.problem(freeze(load_dwiseneuro(folder / "model.pth", str(worlds.MOUSE))))
    ours = worlds.canvas(worlds.preset("bauer2025", iterations, run=run), problem)
    ended = time.perf_counter()
    moved, difference = theirs - worlds.GREY, ours - theirs
    border = torch.cat([moved[:, :14], moved[:, 50:]], 1)
    sys.stdout.write(
        f"{run}: {iterations} iterations, {world.frames} frames, {world.neurons} neurons\n"
        f"moved by at most {moved.abs().max():.4g} grey levels (border {border.abs().max():.4g}), "
        f"at 0 or 255: {((theirs == 0) | (theirs == 255)).sum()}, still: {(moved == 0).float().mean():.3f}\n"
        f"largest difference {difference.abs().max():.3g} grey levels, over the largest value "
        f"{difference.abs().max() / theirs.max():.3g}, over the largest movement "
        f"{difference.abs().max() / moved.abs().max():.3g}, norms {difference.norm() / moved.norm():.3g}\n"
        f"seconds: public {middle - started:.1f}, ours {ended - middle:.1f}, threads {torch.get_num_threads()}\n"
    )


if __name__ == "__main__":
    main()
