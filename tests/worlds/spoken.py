"""A recording whose neurons tell what is said of a trial: a group of neurons for each of four captions."""

from __future__ import annotations

import torch
from torch import Tensor
from worlds import linear as worlds

from recon.problem.fidelities import FIDELITIES
from recon.problem.problem import Observation, Problem
from recon.types import Caption, Measurement, Trial

WORDS = ("a striped disc moves to the left", "a pile of leaves", "a cloudy sky", "the camera rests on a page of text")


class Spoken(worlds.TinyRecording):
    """Trials of two scenes; of each of the four captions a group of neurons of its own is more active."""

    def __init__(self, trials: int = 40) -> None:
        super().__init__(trials)
        generator = torch.Generator().manual_seed(0)
        self.shown = torch.randint(len(WORDS), (trials, 2), generator=generator).tolist()
        rates = torch.full((trials, worlds.NEURONS, 24), 0.5)
        for trial, scenes in enumerate(self.shown):
            for scene, word in enumerate(scenes):
                rates[trial, word::4, 12 * scene : 12 * scene + 12] += 2.0
        self.responses = torch.poisson(rates, generator)

    def spoken(self, index: int) -> tuple[Caption, ...]:
        first, second = self.shown[index]
        return Caption(0, 12, (WORDS[first],)), Caption(12, 24, (WORDS[second],))

    def trial(self, index: int) -> Trial:
        return Trial(index, "train", self.movies[index], self.responses[index], video_id=self.video_ids[index])


def posed(responses: Tensor) -> Problem:
    """Return the problem of responses `[B,N,T]`."""
    fit, selection = worlds.sets()
    every = torch.ones(len(responses), responses.shape[2], dtype=torch.bool)
    known = responses * (fit | selection)[:, None]
    return Problem(
        FIDELITIES["poisson"](),
        (Observation(worlds.encoder(), Measurement(known, None, fit, selection, every)),),
    )
