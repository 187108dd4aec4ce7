"""Claims of the prior that follows words: what judges see in its samples, and what captions do for its denoising."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from claims import Claim, Measure
from recon.metrics.words.judge import JUDGE, SECOND, judge_of
from recon.metrics.words.rank import CaptionRank, Question, right_by_attribute
from recon.simulate.questions import ToldScene, question
from torch import Tensor

from recon.methods.diffusion.sampling import drawn, steps_down
from recon.metrics.networks import Network
from recon.metrics.statistics import bootstrap_interval
from recon.priors.coarse_movies import unpooled
from recon.priors.guidance import ClassifierFree
from recon.priors.movie_cascade import MovieCascade, load_movie_cascade
from recon.priors.movie_diffusion import MovieDiffusion, load_movie_diffusion
from recon.priors.text import TextEncoder
from recon.priors.weights_file import SHIPPED
from recon.simulate.movies import make_clip
from recon.train.captioned import captioned
from recon.train.coarse_held_out import CoarseHeldOut, held_out_errors
from recon.train.prior import errors

CAPTIONS, FRAMES, BATCH = 200, 64, 20
"""Scenes of test sources whose captions are sampled, frames of a sample, and samples drawn at once."""
LEVELS, GUIDANCE = (24, 20.0, 0.02), 3.0
"""Noise schedule of the coarse stage: number of levels, highest σ, lowest σ; and its guidance."""
FINE_LEVELS = (5, 0.6, 0.05)
"""Schedule of the cascade, from the interpolated coarse sample under noise."""
TODAY = 12
"""Captions of which the prior of one stage is sampled beside."""
SIGMAS = (0.2, 0.4, 0.8, 1.6, 3.2)
MIDDLE = slice(1, 4)
FINE_SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
FINE_SCENES = 20
GAINS = {"with place": (0.04, 0.08), "without place": (0.025, 0.05)}
"""Least relative gains of the right caption over none and over a wrong one, mean over σ of .4 to 1.6."""
ARTEFACTS = Path("runs/artefacts")
MEGABYTES = 25


@cache
def cascade() -> MovieCascade:
    """Return the shipped cascade."""
    return load_movie_cascade("movie_cascade", precision="bfloat16")


@cache
def scenes() -> tuple[list[ToldScene], Tensor]:
    """Return scenes of test sources and their true movies `[S,1,FRAMES,36,64]` in [0,1]."""
    told, movies, index = [], [], 0
    while len(told) < CAPTIONS:
        clip = make_clip("test", index, frames=300)
        for scene in clip.scenes:
            if scene.end - scene.first >= FRAMES and len(told) < CAPTIONS:
                told.append(ToldScene(0, FRAMES, scene.captions, scene.facts))
                movies.append(torch.from_numpy(clip.video[scene.first : scene.first + FRAMES]))
        index += 1
    return told, torch.stack(movies)[:, None].float() / 255


@cache
def questions() -> list[Question]:
    """Return which caption each scene has, among captions of other scenes that differ in at least two attributes."""
    told, _ = scenes()
    asked = [question(scene, (), [other for other in told if other is not scene]) for scene in told]
    return [one for one in asked if one is not None]


@torch.no_grad()
def staged(model: MovieCascade, texts: list[str], seed: int) -> Tensor:
    """Return samples `[K,1,FRAMES,36,64]` of captions: the coarse stage to its end, then the cascade from there."""
    generator, condition = torch.Generator().manual_seed(seed), model.embed(texts)
    coarse = drawn(
        ClassifierFree(model.coarse, GUIDANCE),
        condition,
        (len(texts), 1, FRAMES // 4, 18, 32),
        list(steps_down(*LEVELS)),
        generator=generator,
    )
    movie = unpooled(coarse, (FRAMES, 36, 64))
    steps = list(steps_down(*FINE_LEVELS))
    x = movie + steps[0][1] * torch.randn(movie.shape, generator=generator)
    for _, now, then in steps:
        clean = model(x, x.new_full((len(x),), now), condition)
        x = clean + then * (x - clean) / now
    return x.clamp(0, 1)


@cache
def samples() -> Tensor:
    """Return one sample per question, by seed."""
    texts = [asked.caption for asked in questions()]
    return torch.cat([staged(cascade(), texts[first : first + BATCH], first) for first in range(0, len(texts), BATCH)])


@cache
def todays() -> Tensor:
    """Return samples of the prior of one stage for the first captions, at the same guidance."""
    model: MovieDiffusion = load_movie_diffusion("movie_diffusion", precision="bfloat16")
    texts = [asked.caption for asked in questions()[:TODAY]]
    shape = (len(texts), 1, FRAMES, 36, 64)
    generator = torch.Generator().manual_seed(0)
    guided = ClassifierFree(model, GUIDANCE)
    return drawn(guided, model.embed(texts), shape, list(steps_down(20, 10.0, 0.05)), generator=generator)


def named(movies: Tensor, judge: Network) -> Tensor:
    """Return how often a judge names the caption of each movie among 10."""
    asked = [[one] for one in questions()[: len(movies)]]
    return CaptionRank(judge, 10)(movies, asked, frame_rate=30.0)


def captions_named() -> dict[str, Claim]:
    """How often the judges name the caption of a sample among 10."""
    _, true = scenes()
    found = {}
    for title, judge in {"the judge": JUDGE, "a second judge": SECOND}.items():
        rate, ceiling = (float(named(movies, judge).mean()) for movies in (samples(), true))
        before = float(named(todays(), judge).mean())
        values = {"samples": rate, "true clips": ceiling, f"prior of one stage, {TODAY} captions": before}
        found[f"caption named among 10 by {title}"] = Claim(
            "at least .5, and .7 of the rate on true clips; chance .1", values, rate >= max(0.5, 0.7 * ceiling)
        )
    return found


def attributes_named() -> dict[str, Claim]:
    """How often the judge names attributes of samples, beside true clips."""
    _, true = scenes()
    judge, found = judge_of(JUDGE), {}
    rows = [(asked, scene) for asked, scene in zip(questions(), scenes()[0], strict=True)]
    for name in ("surface", "shape", "direction"):
        kept = [
            k for k, (asked, scene) in enumerate(rows) if name in asked.shown and (name == "surface" or _single(scene))
        ]
        rates = [
            float(np.mean([_right(judge, movies[k], rows[k][0], name) for k in kept])) for movies in (samples(), true)
        ]
        found[f"{name} of samples"] = Claim(
            "at least .7 of the rate on true clips",
            {"samples": rates[0], "true clips": rates[1], "scenes": len(kept)},
            rates[0] >= 0.7 * rates[1],
        )
    return found


def _single(scene: ToldScene) -> bool:
    return scene.facts is not None and len(scene.facts.objects) == 1


def _right(judge: Any, movie: Tensor, asked: Question, name: str) -> float:
    logits = judge.seen(movie[None], 30.0)[1]
    return right_by_attribute(judge, logits, {name: asked.shown[name]})[name]


def captions_denoise() -> dict[str, Claim]:
    """What right and wrong captions do for the coarse stage's denoising of scenes of validation sources."""
    held_out = CoarseHeldOut.drawn(TextEncoder(), ARTEFACTS, clips=96)
    model, found = cascade().coarse, {}
    none = held_out_errors(model, held_out, "none", sigmas=SIGMAS)
    for phrasing, (over_none, over_wrong) in GAINS.items():
        right, wrong = (
            held_out_errors(model, held_out, words, phrasing=phrasing, sigmas=SIGMAS) for words in ("right", "wrong")
        )
        lows = [_interval(row)[0] for row in (*(none - right), *(wrong - none))]
        means = [table[MIDDLE].mean() for table in (right, none, wrong)]
        gains = [float(1 - means[0] / means[1]), float(1 - means[0] / means[2])]
        found[f"denoising, captions {phrasing}: right below none below wrong"] = Claim(
            "intervals above 0 at every σ from .2 to 3.2",
            {"least lower end × 1000": 1000 * min(lows), "scenes": none.shape[1]},
            min(lows) > 0,
        )
        found[f"denoising, captions {phrasing}: gain over none and over wrong, mean over σ of .4 to 1.6"] = Claim(
            f"at least {over_none} and {over_wrong}", gains, gains[0] >= over_none and gains[1] >= over_wrong
        )
    return found


def fine_errors() -> dict[str, Claim]:
    """Errors of the cascade without a caption beside those of the prior of one stage."""
    held_out = captioned("validation", 0, TextEncoder(), artefacts=ARTEFACTS)
    ours, theirs = (
        errors(model, held_out, "none", sigmas=FINE_SIGMAS, most=FINE_SCENES).mean(1)
        for model in (cascade(), load_movie_diffusion("movie_diffusion", precision="bfloat16"))
    )
    ratio = {f"{sigma:g}": float(value) for sigma, value in zip(FINE_SIGMAS, ours / theirs, strict=True)}
    return {
        "error without caption, as a share of the prior of one stage's": Claim(
            "at most 1 at every σ from .05 to 6.4", ratio, max(ratio.values()) <= 1
        )
    }


def size() -> dict[str, Claim]:
    """Bytes on disk."""
    megabytes = (SHIPPED / "movie_cascade.safetensors").stat().st_size / 1e6
    return {"size of the shipped weights in MB": Claim(f"at most {MEGABYTES}", megabytes, megabytes <= MEGABYTES)}


def _interval(differences: Tensor) -> list[float]:
    found = bootstrap_interval(differences.tolist(), generator=np.random.default_rng(0))
    return [float(end) for end in found]


MEASURES: dict[str, Measure] = {
    "size": size,
    "denoising by captions": captions_denoise,
    "captions named": captions_named,
    "attributes named": attributes_named,
    "errors": fine_errors,
}
