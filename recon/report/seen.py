"""Description of what each method was allowed to see, from the configuration of its row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from recon.study.ablation.trees import switched_off

GUIDED = "responses and behavior of the clip through the encoder; the spectrum of training movies"
TRAINED = "learnt from training movies with their responses"
SEEN = {
    "mean": "no responses at all: the mean training frame",
    "sta": f"responses; {TRAINED}",
    "ridge": f"responses; {TRAINED}",
    "field_sum": "responses; receptive fields of the encoder, gain and noise from training responses",
    "optimal_linear": "responses; receptive fields of the encoder, statistics of training movies, noise from responses",
    "library": "responses; training movies and the encoder's rates for them at mean behavior",
    "convolutional": f"responses; {TRAINED}; weights selected on validation clips",
    "meicoder": f"responses; {TRAINED}, and most exciting inputs of the encoder; weights selected on validation clips",
    "latent": f"responses; {TRAINED}, through an autoencoder of training movies",
    "alignment": f"responses; {TRAINED}; returns training movies; weights selected on validation clips",
    **dict.fromkeys(("egg", "dps", "diffpir", "plug_and_play", "split_gibbs", "red_diff"), GUIDED),
    "sample": "no activity except through its text or its start; the mean of training movies",
}
SPECTRA = {
    "spectrum": "the spectrum of training movies",
    "power_law": "a 1/f prior, nothing of training movies",
    "pixels": "nothing of training movies",
    "pyramid": "nothing of training movies",
}
GIVEN = {
    "wrong_clip": "another clip's responses and behavior (null)",
    "predicted": "the encoder's noise-free rates of the true movie (not available in experiments)",
    "noise_free": "the simulation's own noise-free rates (not available in experiments)",
    "repeat_average": "the mean over all repeats of the clip",
    "repeats_joint": "all repeats of the clip",
}

SPOKEN = {"true": "given the clip's own captions (oracle)", "shuffled": "given the captions of another clip"}


def seen_by(row: Mapping[str, Any]) -> str:
    """Return what a row's method saw, from its name, the methods and priors inside it, and its condition.

    >>> seen_by({"method": {"name": "mean"}, "condition": "recorded"})
    'no responses at all: the mean training frame'
    """
    words = _method(row["method"])
    given = GIVEN.get(str(row.get("condition", "recorded")))
    spoken = SPOKEN.get(str(row.get("words", "none")), "")
    share = float(row.get("data", 1.0))
    others = len(row.get("animals") or ())
    words += f"; fitted with {others} other animal{'s' * (others > 1)} that saw the clips" if others else ""
    words += f"; {spoken}" if spoken else ""
    return words + (f"; here {given}" if given else "") + (f"; {share:.3g} of the training trials" if share < 1 else "")


def seen_in(folder: Path) -> str:
    """Return what the method of a task saw; empty if the task has no config.yaml."""
    path = folder / "config.yaml"
    return seen_by(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else ""


def _method(tree: Mapping[str, Any]) -> str:
    name = str(tree.get("name", ""))
    if name == "gradient":
        return _gradient(tree)
    if name in ("smoothed", "ensemble", "deep_ensemble", "posterior"):
        return _method(tree["method"])
    if name == "average":
        return " + ".join(f"({_method(inner)})" for inner in tree["methods"].values())
    words = SEEN["sample" if switched_off(tree) else name] if name in SEEN else name
    words += _denoised(tree)
    if tree.get("distilled"):
        made = ", also for generated movies that were not shown" if tree.get("generated") else ""
        words = words.replace(TRAINED, f"{TRAINED} and with responses predicted by the encoders{made}")
    return words


def _denoised(tree: Mapping[str, Any]) -> str:
    """Return the description of a learnt prior and its conditioning; empty for other denoisers."""
    chosen = tree.get("denoiser")
    if not isinstance(chosen, Mapping) or chosen.get("name") != "diffusion":
        return ""
    text = chosen.get("text") or {}
    given = {"given": "given the captions of its row", "decoded": "given the caption decoded from the activity"}
    words = given.get(str(text.get("name")), f"given {text['caption']!r}" if "caption" in text else "without text")
    return f"; a learnt prior of movies ({chosen.get('weights', 'movie_diffusion')}), {words}"


def _gradient(tree: Mapping[str, Any]) -> str:
    prior = SPECTRA[str(tree.get("parameterisation", "pixels"))]
    if isinstance(centre := tree.get("centre"), Mapping):
        prior = f"the residuals of another method on validation clips, around that method ({_method(centre)})"
    if isinstance(start := tree.get("start"), Mapping):
        prior += f", initialised by another method ({_method(start)})"
    return f"responses and behavior of the clip through the encoder; {prior}"
