"""Description of what each method was allowed to see, from the facts saved with its result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from recon import config
from recon.methods.facts import DECODED, GIVEN
from recon.study.saw import Saw
from recon.study.store import ROW

GIVEN_AS = {
    "wrong_clip": "here the measurement of another clip (null)",
    "predicted": "here the encoder's noise-free rates of the true movie (not available in experiments)",
    "noise_free": "here the simulation's own noise-free rates (not available in experiments)",
    "repeat_average": "here the mean over all repeats of the clip",
    "repeats_joint": "here all repeats of the clip",
}
TOLD = {
    "true": "the clip's own captions (oracle)",
    "shuffled": "the captions of another clip",
    "none": "no captions",
}


def seen_in(folder: Path) -> str:
    """Return what the method of a task saw; empty for results of versions that did not save it."""
    path = folder / ROW
    tree = json.loads(path.read_text(encoding="utf-8")).get("saw")
    return "" if tree is None else seen_by(config.record(Saw, tree, where=f"{path}: saw"))


def seen_by(saw: Saw) -> str:
    """Return the sentence about what a method saw.

    >>> from recon.methods import Mean, Ridge
    >>> seen_by(Saw(("mean training frame",), Mean.sees))
    'mean training frame: no responses of the clip; learnt: the mean training frame'
    >>> seen_by(Saw((), Ridge.sees, condition="wrong_clip")).split("; ")[2]
    'here the measurement of another clip (null)'
    """
    titles = " · ".join(saw.titles)
    return (f"{titles}: " if titles else "") + "; ".join(_parts(saw))


def _parts(saw: Saw) -> Iterator[str]:
    sees, others = saw.sees, len(saw.animals)
    yield _of_the_clip(saw)
    yield f"learnt: {', '.join(sees.learnt)}" if sees.learnt else "nothing learnt of movies or of the recording"
    if sees.pretrained:
        yield f"pretrained: {', '.join(sees.pretrained)}"
    if sees.text:
        yield f"text: {', '.join(_told(source, saw.words) for source in sees.text)}"
    if others:
        yield f"fitted with {others} other animal{'s' * (others > 1)} that saw the clips"
    if sees.activity and saw.condition in GIVEN_AS:
        yield GIVEN_AS[saw.condition]
    if sees.activity and saw.activity:
        yield f"here with other activity than recorded: {saw.activity}"
    if saw.share < 1:
        yield f"{saw.share:.3g} of the training trials"


def _of_the_clip(saw: Saw) -> str:
    sees = saw.sees
    if not sees.responses:
        return "no responses of the clip" + (" except through decoded text" if sees.activity else "")
    return f"responses {'and behavior ' * sees.behavior}of the clip{' through the encoder' * sees.animals}"


def _told(source: str, words: str) -> str:
    if source == GIVEN:
        return TOLD[words]
    return "a caption decoded from the responses" if source == DECODED else source
