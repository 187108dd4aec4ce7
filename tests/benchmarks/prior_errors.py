"""How well a prior denoises films that it never saw, beside the Gaussian of its training movies.

python tests/benchmarks/prior_errors.py FOLDER [WEIGHTS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from priors.movie_diffusion import MovieDiffusion, load_movie_diffusion
from priors.spectrum import GaussianDenoiser
from recon.simulate.films import film_clips
from recon.statistics import bootstrap_interval

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
LENGTH = 60


def clips_of(folder: Path, *, per_film: int = 3) -> Tensor:
    """Return clips `[K,1,T,H,W]` in [0,1] of every film in a folder."""
    found = film_clips(folder, frames=LENGTH, frame_size=(36, 64), per_film=per_film)
    return torch.stack([torch.from_numpy(video) for _, video in found])[:, None] / 255


@torch.no_grad()
def errors(model: MovieDiffusion, clips: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the mean squared errors `[K]` of the prior without a caption and of its Gaussian, for the same noise."""
    generator = torch.Generator().manual_seed(0)
    gaussian, level = GaussianDenoiser(model.gaussian(clips.shape)), torch.tensor([sigma])
    rows = []
    for clip in clips[:, None]:
        noisy = clip + sigma * torch.randn(clip.shape, generator=generator)
        rows.append([float(((denoiser(noisy, level) - clip) ** 2).mean()) for denoiser in (model, gaussian)])
    ours, theirs = torch.tensor(rows).T
    return ours, theirs


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    model = load_movie_diffusion(sys.argv[2] if len(sys.argv) > 2 else "movie_diffusion")
    clips = clips_of(Path(sys.argv[1]))
    lines = [f"{len(clips)} clips of {LENGTH} frames", "", "| σ | prior | gaussian | gaussian − prior |"]
    lines.append("| --- | --- | --- | --- |")
    for sigma in SIGMAS:
        ours, theirs = errors(model, clips, sigma)
        low, high = bootstrap_interval((theirs - ours).tolist(), generator=np.random.default_rng(0))
        mean = float((theirs - ours).mean())
        lines.append(f"| {sigma:g} | {ours.mean():.5f} | {theirs.mean():.5f} | {mean:+.5f} [{low:+.5f}, {high:+.5f}] |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
