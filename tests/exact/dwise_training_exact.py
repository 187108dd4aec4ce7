"""Training of DwiseNeuro against the public code: same weights, same batches, the largest differences after some steps.

    python tests/exact/dwise_training_exact.py PATH_OF_A_CLONE [--steps 5]

The clone is that of lRomul/sensorium; its code needs `pip install pytorch-argus`. Its own `MouseModel.train_step`,
loss, CutMix, window indices and averages run beside ours; dropout is off, for it draws from another generator. Networks
are in float64: shifts before another BatchNorm have no gradient but rounding, which Adam blows up to full steps.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
worlds: Any = importlib.import_module("worlds.dwiseneuro")

NEURONS, FRAMES, TRIALS = (5, 7), 80, 4


def main() -> None:
    """Compare batches, then steps."""
    options = argparse.ArgumentParser()
    options.add_argument("clone")
    options.add_argument("--steps", type=int, default=5)
    chosen = options.parse_args()
    sys.path.insert(0, chosen.clone)
    _compare(chosen.steps)


def recipe_and_mice() -> tuple[Any, Any]:
    """Return a short training of two mice with the published constants, and the mice."""
    from recon.encoders.dwiseneuro.network import Subject
    from recon.encoders.dwiseneuro.sampling import Mouse, WindowSampling
    from recon.encoders.dwiseneuro.train import Recipe
    from recon.encoders.training.clips import TrainingClip

    generator, mice = torch.Generator().manual_seed(5), []
    for mouse, neurons in enumerate(NEURONS):
        clips = []
        for trial in range(TRIALS):
            movie, behavior = worlds.trial(FRAMES, seed=10 * mouse + trial)
            responses = 5 * torch.randn(neurons, FRAMES, generator=generator)
            clips.append(TrainingClip(movie[None] / 255, responses, behavior))
        mice.append(Mouse(Subject(str(mouse), tuple(range(neurons))), clips, clips))
    return Recipe(WindowSampling(samples=8, batch=4), warmup_epochs=1, epochs=3, average=0.9), tuple(mice)


def public_batch(samples: Any, mice: Any) -> tuple[torch.Tensor, tuple[list[torch.Tensor], torch.Tensor]]:
    """Return the batch of samples as the public data sets make it, its draws replaced by ours."""
    from src import mixers
    from src.indexes import IndexesGenerator
    from src.inputs import StackInputsProcessor
    from src.responses import IdentityResponsesProcessor

    indexes, stack, respond = IndexesGenerator(16, 2), StackInputsProcessor((64, 64)), IdentityResponsesProcessor()

    def window(draw: Any) -> tuple[torch.Tensor, torch.Tensor]:
        clip = mice[draw.mouse].training[draw.trial]
        last = indexes.behind + int(draw.place * (FRAMES - indexes.behind))
        at = indexes.make_indexes(last)
        frames = (clip.movie[0] * 255).numpy().transpose(1, 2, 0)[..., at]
        behavior = clip.behavior.numpy()[:, at]
        return stack(frames, behavior[:2], behavior[2:]), respond(clip.responses.numpy()[:, at])

    pairs = []
    for sample in samples:
        pair = window(sample.window)
        if sample.other is not None:
            top, bottom, left, right = sample.box
            mixers.rand_bbox = lambda *_, box=(top, left, bottom, right): box
            pair = mixers.CutMix()(pair, window(sample.other))
        pairs.append(pair)
    owners = [sample.window.mouse for sample in samples]
    targets = [
        torch.stack(
            [pair[1] if owner == mouse else torch.zeros(n, 16) for owner, pair in zip(owners, pairs, strict=True)]
        )
        for mouse, n in enumerate(NEURONS)
    ]
    return torch.stack([pair[0] for pair in pairs]), (targets, torch.eye(len(NEURONS))[owners])


def _compare(steps: int) -> None:
    from src.argus_models import MouseModel
    from src.ema import ModelEma
    from src.utils import get_lr, init_weights

    from recon.encoders.dwiseneuro.network import from_params
    from recon.encoders.dwiseneuro.sampling import plan
    from recon.encoders.dwiseneuro.train import learn, learning_rate, reader, start

    recipe, mice = recipe_and_mice()
    network = {**worlds.NARROW, "readout_outputs": NEURONS, "drop_rate": 0.0, "drop_path_rate": 0.0}
    params = worlds.params(network)
    model = MouseModel({**params, "optimizer": ("AdamW", {"lr": get_lr(3e-4, 4), "weight_decay": 0.05})})
    run = start(mice, from_params(params, "the public code"), recipe, torch.device("cpu"))
    init_weights(model.nn_module)
    ratios = [
        (float(value.std() / run.network.state_dict()[name].std()), name)
        for name, value in model.nn_module.state_dict().items()
        if value.ndim > 1
    ]
    for ours in (run.network, run.averaged, model.nn_module):
        ours.double()
    model.nn_module.load_state_dict(run.network.state_dict())
    model.model_ema = ModelEma(model.nn_module, decay=recipe.average)
    inputs, losses, read = 0.0, [], reader(run)
    for step in range(steps):
        batch = read(step)
        public = public_batch(plan(step, (TRIALS, TRIALS), recipe.sampling, (64, 64)), mice)
        inputs = max(inputs, float((public[0] - batch.inputs).abs().max()))
        rate = learning_rate(step + 1, recipe, run.epoch_steps)
        for group in model.optimizer.param_groups:
            group["lr"] = rate
        public = (public[0].double(), public[1])
        batch = batch._replace(inputs=batch.inputs.double())
        losses.append((model.train_step(public, None)["loss"], learn(run, batch, rate)))
        run = replace(run, step=run.step + 1)
    written = [f"deviation of first weights, public over ours: {min(ratios)[0]:.2f} – {max(ratios)[0]:.2f}"]
    written.append(f"largest difference of inputs (0–255): {inputs:.2g}")
    relative = np.array([abs(theirs - ours) / abs(theirs) for theirs, ours in losses])
    written.append(
        f"losses: {losses[0][0]:.4f} → {losses[-1][0]:.4f}, relative difference at most {relative.max():.2g}"
    )
    for name, theirs, ours in (
        ("weights", model.nn_module, run.network),
        ("averages", model.model_ema.ema, run.averaged),
    ):
        pairs = [(theirs.state_dict()[key], value) for key, value in ours.state_dict().items() if value.ndim]
        largest = max(float((a - b).abs().max()) for a, b in pairs)
        written.append(f"{name} after {steps} steps: largest difference {largest:.2g}")
    sys.stdout.write("\n".join(written) + "\n")


if __name__ == "__main__":
    main()
