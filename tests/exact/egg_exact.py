"""Energy-guided diffusion as the public code samples it, on a tiny case: reference values, or a comparison with ours.

    python tests/exact/egg_exact.py PATH_OF_A_CLONE [--golden FILE]

The clone is that of sinzlab/energy-guided-diffusion (Pierzchlewicz et al. 2023). Its own `GaussianDiffusion` runs with
`p_sample_loop_progressive`, as its scripts do, on noise levels, network, energy and noise of `tests/worlds/egg.py`.
Written are every level's sample and clean estimate in the public variable: variance-preserving, movies on [−1,1].
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
worlds: Any = importlib.import_module("worlds.egg")


def signal(sigma: float) -> float:
    """Return √ᾱ of the variance-preserving process at noise σ of a movie in [0,1]."""
    return float((1 + (2 * sigma) ** 2) ** -0.5)


def in_movies(variable: Tensor, sigma: float) -> Tensor:
    """Return the public variable at noise σ as clean + σ·noise, movies on [0,1]."""
    movie: Tensor = (variable / signal(sigma) + 1) / 2
    return movie


def public_trajectory(sigmas: list[float]) -> list[dict[str, Tensor]]:
    """Return sample and clean estimate of every level of the public sampler, in its own variable."""
    public: Any = importlib.import_module("egg.guided_diffusion.gaussian_diffusion")
    kept = np.array([signal(sigma) ** 2 for sigma in reversed(sigmas)])
    betas = 1 - kept / np.append(1.0, kept[:-1])
    kinds = (public.ModelMeanType.EPSILON, public.ModelVarType.FIXED_SMALL, public.LossType.MSE)
    diffusion = public.GaussianDiffusion(
        betas=betas, model_mean_type=kinds[0], model_var_type=kinds[1], loss_type=kinds[2]
    )
    network, (weights, responses) = worlds.TinyNetwork(), worlds.filters()

    def noise_in(variable: Tensor, step: Tensor) -> Tensor:
        sigma = sigmas[len(sigmas) - 1 - int(step[0])]
        clean = 2 * network(in_movies(variable, sigma), torch.tensor([sigma])) - 1
        return (variable - signal(sigma) * clean) / (1 - signal(sigma) ** 2) ** 0.5

    def energy(clean: Tensor) -> dict[str, Tensor]:
        rates = torch.einsum("nhw,bcthw->bnt", weights, (clean + 1) / 2)
        return {"train": 0.5 * ((rates - responses) ** 2).sum()}

    noisy = signal(sigmas[0]) * (2 * worlds.start()["variable"] - 1)
    torch.manual_seed(worlds.SEED)
    loop = diffusion.p_sample_loop_progressive(
        noise_in,
        worlds.SHAPE,
        noise=noisy,
        clip_denoised=False,
        device="cpu",
        energy_fn=energy,
        energy_scale=worlds.ENERGY_SCALE,
    )
    return [{name: out[name].detach().clone() for name in ("sample", "pred_xstart")} for out in loop]


def our_trajectory() -> list[Tensor]:
    """Return the variable after every level of our sampler."""
    from recon.methods import Egg

    with tempfile.TemporaryDirectory() as folder:
        method = Egg(
            worlds.TinyPrior(),
            worlds.LEVELS,
            worlds.HIGHEST,
            worlds.LOWEST,
            scale=worlds.ENERGY_SCALE,
            step="published",
            artefact=worlds.artefact(Path(folder)),
        )
        iterates = method(worlds.problem(), torch.Generator().manual_seed(worlds.SEED), worlds.start())
        return [iterate.state["variable"] for iterate in iterates]


def main() -> None:
    """Write the reference values, or print the largest difference from our trajectory."""
    from recon.priors.guidance import falling

    options = argparse.ArgumentParser()
    options.add_argument("clone")
    options.add_argument("--golden", type=Path)
    chosen = options.parse_args()
    sys.path.insert(0, chosen.clone)
    sigmas = falling(worlds.LEVELS, worlds.HIGHEST, worlds.LOWEST)
    public = public_trajectory(sigmas)
    if chosen.golden:
        levels = [{name: value.flatten().tolist() for name, value in level.items()} for level in public]
        chosen.golden.write_text(json.dumps({"sigmas": sigmas, "levels": levels}) + "\n")
        return
    expected = [in_movies(level["sample"], sigma) for level, sigma in zip(public, [*sigmas[1:], 0.0], strict=True)]
    expected[-1] = in_movies(public[-1]["pred_xstart"], 0.0)
    apart = [float((ours - theirs).abs().max()) for ours, theirs in zip(our_trajectory(), expected, strict=True)]
    size = [float(theirs.abs().max()) for theirs in expected]
    sys.stdout.write(f"largest differences per level: {apart}\nlargest values per level: {size}\n")


if __name__ == "__main__":
    main()
