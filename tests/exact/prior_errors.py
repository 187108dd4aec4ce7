"""How well a prior denoises what it never saw, beside the Gaussian of its training movies.

python tests/exact/prior_errors.py FOLDER [WEIGHTS]      films of a folder, told nothing
python tests/exact/prior_errors.py captions [WEIGHTS]    scenes of validation sources: told right, nothing, wrong
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon import config
from recon.metrics.statistics import bootstrap_interval
from recon.priors.movie_diffusion import MovieDiffusion, load_movie_diffusion
from recon.priors.spectrum import GaussianDenoiser
from recon.priors.text import TextEncoder
from recon.simulate.films import film_clips
from recon.train.captioned import captioned
from recon.train.prior import SIGMAS as HELD_OUT_SIGMAS
from recon.train.prior import PriorTraining, report

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
LENGTH = 60
TRAINED = Path(__file__).parents[2] / "configs" / "train" / "movie_diffusion.yaml"


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


def films_table(model: MovieDiffusion, folder: Path) -> list[str]:
    """Return the table of a folder's films."""
    clips = clips_of(folder)
    lines = [f"{len(clips)} clips of {LENGTH} frames", "", "| σ | prior | gaussian | gaussian − prior |"]
    lines.append("| --- | --- | --- | --- |")
    for sigma in SIGMAS:
        ours, theirs = errors(model, clips, sigma)
        low, high = bootstrap_interval((theirs - ours).tolist(), generator=np.random.default_rng(0))
        mean = float((theirs - ours).mean())
        lines.append(f"| {sigma:g} | {ours.mean():.5f} | {theirs.mean():.5f} | {mean:+.5f} [{low:+.5f}, {high:+.5f}] |")
    return lines


def captions_table(model: MovieDiffusion) -> list[str]:
    """Return the table of the scenes on which the card of a prior was scored: errors × 1000."""
    chosen = config.record(PriorTraining, config.load(TRAINED), where="train")
    held_out = captioned("validation", chosen.clips, TextEncoder(chosen.text), artefacts=chosen.artefacts)
    found = report(model, model.gaussian(held_out.chunk(held_out.scored(1)[0]).shape), held_out)
    levels = [f"{sigma:g}" for sigma in HELD_OUT_SIGMAS]
    lines = [f"{found['scenes']} scenes", "", "| σ | " + " | ".join(levels) + " |", "| --- " * (len(levels) + 1) + "|"]
    for name in ("gaussian", "caption: wrong", "caption: none", "caption: right"):
        lines.append(f"| {name} | " + " | ".join(f"{1000 * found[name][level]:.3g}" for level in levels) + " |")
    for name in ("interval of none - right", "interval of wrong - none", "interval of gaussian - right"):
        ends = ([f"{1000 * end:.3f}" for end in found[name][level]] for level in levels)
        lines.append(f"| {name} | " + " | ".join(f"[{low}, {high}]" for low, high in ends) + " |")
    return lines


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    asked, *weights = sys.argv[1:]
    model = load_movie_diffusion(*weights or ["movie_diffusion"])
    lines = captions_table(model) if asked == "captions" else films_table(model, Path(asked))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
