"""Responses → caption embeddings, by ridge regression or contrastively trained networks."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.training.loop import Learning, fresh
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Whole
from recon.methods.artefacts import load_artefact
from recon.methods.base import responses_of
from recon.methods.facts import DECODED, Sees
from recon.methods.linear.regression import Decomposed, shrunk
from recon.methods.requirements import Needs
from recon.methods.text.bank import BankPart, bank_facts, bank_parts, bank_path, captions_in, embed_bank, nearest
from recon.methods.text.captioner_source import Spoken, spoken_by
from recon.methods.text.contrastive import Layers, tell_apart
from recon.methods.text.examples import Examples, Windows, examples, generated, recorded, spoken_digest
from recon.methods.text.from_pictures import PictureReader, Pictures
from recon.methods.training_set import TrainingSet
from recon.priors.base import Denoiser
from recon.priors.prior import TextSource
from recon.priors.text import EMBEDDED, TextEncoder, check_text_encoder
from recon.problem.fidelities.base import Likelihood
from recon.problem.fidelities.mixture import Mixture
from recon.problem.problem import Problem
from recon.simulate.render import FRAME_RATE

PENALTIES = tuple(float(10 ** (power / 2)) for power in range(-4, 7))
"""Ridge penalties, in units of the features' mean variance times the number of windows."""
FOLDS = 5


@dataclass(frozen=True)
class Decoded(TextSource):
    """Text decoded from activity: the caption embedding over time, predicted from windows of responses.

    `said`: captioner to train on. "" is the recording's own captions, TABLE:CAPTIONER a captioner of a table, and
    graded:CAPTIONER one of known quality (`recon.simulate.graded_captioners`; simulated recordings).

    `reader`: "ridge" (penalty by cross-validation over trials), "contrastive" (two layers of `hidden` units, InfoNCE
    over scenes; van den Oord et al. 2018), or "pictures" (the same loss for a convolutional network of `width` channels
    on a movie decoded by ridge regression, `pictures`; it needs `generated` movies). `encoder`: text encoder of the
    captions. `unit`: normalise predictions to length 1, as embeddings are; otherwise their length reflects the
    confidence of the regression. `generated`: number of additional training movies of 10 s with captions, and with
    responses predicted by the row's encoders and `noise` fitted to the training trials.

    `bank`: text file with one caption per line. What is told is then the caption of the bank nearest to the decoded
    embedding, to models of embeddings window by window. Without a bank these are told the decoded embedding itself, and
    models of texts the nearest caption of training trials.
    """

    reader: Literal["ridge", "contrastive", "pictures"] = "ridge"
    windows: Windows = field(default_factory=Windows)
    pictures: Pictures = field(default_factory=Pictures)
    encoder: str = EMBEDDED
    unit: bool = False
    generated: Whole = 0
    noise: Likelihood = field(default_factory=Mixture)
    hidden: Count = 256
    width: Count = 16
    dropout: Decay = 0.3
    precision: Literal["float32", "bfloat16"] = "float32"
    said: str = ""
    bank: str = ""
    learning: Learning = field(
        default_factory=lambda: Learning(steps=600, learning_rate=1e-3, weight_decay=0.1, validate_every=50)
    )
    artefact: Path | None = None

    def __post_init__(self) -> None:
        if self.said and self.generated:
            raise InputError(
                f"captions: expected generated movies only beside a recording's own captions, got generated "
                f"{self.generated} and said {self.said!r}; generated movies have their own captioner: set only one"
            )

    @property
    def sees(self) -> Sees:
        """The decoded text, and what its decoder is trained on."""
        more = ("generated movies with captions", "responses predicted by the encoders") if self.generated else ()
        bank = (bank_facts(self.bank),) if self.bank else ()
        return Sees(text=(DECODED,), learnt=("captions of training trials", *more, *bank))

    @property
    def needs(self) -> Needs:
        """Captions of training trials, unless a table has them; generated movies have a frame rate of their own."""
        trials = 2 if self.reader == "pictures" else 1
        return Needs(trials=trials, captions=not self.said, rate=FRAME_RATE if self.generated else 0.0)

    def check_weights(self, training: TrainingSet) -> None:
        """Raise InputError where the text encoder, a table of captions or a bank is absent."""
        check_text_encoder(self.encoder)
        if self.said:
            spoken_by(training.recording, self.said)
        if self.bank:
            captions_in(self.bank)

    def fit(self, training: TrainingSet) -> Self:
        """Train on the captioned training trials of a recording, and embed the bank."""
        spoken = spoken_by(training.recording, self.said)
        about = (replace(self, artefact=None, unit=False, said="", bank=""), spoken_digest(training, spoken))
        seeded = ["seed"] if self.reader != "ridge" or self.generated else []
        uses = ("neurons", *seeded, *(["encoders"] if self.generated else []))
        artefact = training.artefact(
            "captions", about, lambda path: self._learn(training, path), code=[__name__], uses=uses
        )
        if self.bank and training.asked is not None:
            training.asked.append(bank_path(self.bank, self.encoder, training.artefacts))
        elif self.bank:
            embed_bank(self.bank, self.encoder, training.artefacts, progress=training.progress)
        return replace(self, artefact=artefact)

    def condition(self, problem: Problem, denoiser: Denoiser) -> Tensor:
        """Return the embedding of every frame `[B,T,D]`; for models of texts, the nearest caption's condition `[B,D]`.

        With a bank, the embedding is that of the nearest caption. Responses are those of the problem.
        """
        responses = responses_of(problem, self.neurons)
        if not denoiser.caption_space:
            return denoiser.embed(self.nearest(responses))
        return self._told(responses, denoiser) if self.bank else self(responses)

    @property
    def neurons(self) -> Tensor:
        """Mask `[N]` of the neurons used."""
        return self._learnt()["neurons"].bool()

    @torch.no_grad()
    def __call__(self, responses: Tensor) -> Tensor:
        """Return the embedding of every frame `[B,T,D]`, interpolated between windows, from responses `[B,n,T]`."""
        at = self.at_windows(responses)
        centres = self.windows.centres(responses.shape[-1]).to(at)
        place = torch.bucketize(torch.arange(responses.shape[-1]).to(at), centres).clamp(1, max(len(centres) - 1, 1))
        if len(centres) == 1:
            return at.expand(-1, responses.shape[-1], -1)
        before, after = centres[place - 1], centres[place]
        share = ((torch.arange(responses.shape[-1]).to(at) - before) / (after - before)).clamp(0, 1)[:, None]
        return torch.lerp(at[:, place - 1], at[:, place], share.expand(-1, at.shape[-1]))

    def at_windows(self, responses: Tensor) -> Tensor:
        """Return the embedding of every window `[B,W,D]`."""
        learnt = {name: value.to(responses.device) for name, value in self._learnt().items()}
        seen = self._view(learnt)(responses)
        if self.reader == "ridge":
            found = (seen - learnt["mean"]) / learnt["std"] @ learnt["weights"] + learnt["offset"]
        else:
            if self.reader == "contrastive":
                seen = (seen - learnt["mean"]) / learnt["std"]
            network = fresh(lambda: self._network(seen.shape[2:], learnt["average"].numel())).to(responses.device)
            network.load_state_dict({name[8:]: value for name, value in learnt.items() if name.startswith("network.")})
            read = network.eval()(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
            found = learnt["average"] + learnt["length"] * functional.normalize(read, dim=-1)
        return functional.normalize(found, dim=-1) if self.unit else found

    def nearest(self, responses: Tensor) -> list[str]:
        """Return the caption nearest to the mean decoded embedding of each clip `[B,n,T]`."""
        return self._nearest(self(responses).mean(1))

    def _nearest(self, wanted: Tensor) -> list[str]:
        """Return the caption of the bank, or of the training trials, nearest to each embedding `[Q,D]`."""
        learnt = self._learnt()
        parts: Iterable[BankPart] = [BankPart(json.loads(bytes(learnt["bank"].tolist())), learnt["bank_embeddings"])]
        if self.bank and self.artefact:
            parts = bank_parts(bank_path(self.bank, self.encoder, self.artefact.parent))
        return nearest(wanted, parts, centre=self.average())

    def _told(self, responses: Tensor, denoiser: Denoiser) -> Tensor:
        """Return the condition `[B,T,D]` of the caption nearest to the embedding of the window around every frame."""
        at = self.at_windows(responses)
        texts = self._nearest(at.flatten(0, 1))
        number = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        said = torch.tensor([number[text] for text in texts]).reshape(at.shape[:2])
        frames = torch.arange(responses.shape[-1])
        window = (frames[:, None] - self.windows.centres(len(frames))).abs().argmin(1)
        return denoiser.embed(list(number))[said[:, window]]

    def average(self) -> Tensor:
        """Return the mean embedding `[D]` of the training captions."""
        return self._learnt()["average"]

    def _learnt(self) -> dict[str, Tensor]:
        return load_artefact(self.artefact, method="decoded captions")

    def _learn(self, training: TrainingSet, checkpoint: Path) -> dict[str, Tensor]:
        encoder = TextEncoder(self.encoder)
        kept = {f"movie.{name}": value for name, value in self._movie(training).items()}
        seen = self._view(kept)
        spoken = spoken_by(training.recording, self.said)
        sources = [recorded(training, spoken)]
        if self.generated:
            sources.append(generated(training, clips=self.generated, noise=self.noise))
        parts = list[Examples]()
        for source in sources:
            found = examples(source, self.windows, encoder, seen=seen)
            if self.reader != "pictures":  # pictures are already in units of the movies' deviation
                found, scale = found.standardised()
                kept = scale | kept  # scaling of the recorded trials, which come first
            parts.append(found)
        pairs = functools.reduce(Examples.joined, parts)
        average = pairs.embeddings.mean(0)
        kept |= {"average": average, "length": (pairs.embeddings - average).norm(dim=1).mean()}
        kept |= {"neurons": training.neurons} | _bank(training, encoder, spoken)
        if self.reader == "ridge":
            return kept | ridge(pairs)
        return kept | tell_apart(
            lambda: self._network(pairs.features.shape[1:], pairs.embeddings.shape[1]),
            pairs,
            training,
            settings=self.learning,
            dropout=self.dropout,
            centre=average,
            checkpoint=checkpoint,
        )

    def _movie(self, training: TrainingSet) -> dict[str, Tensor]:
        return self.pictures.learn(training) if self.reader == "pictures" else {}

    def _view(self, learnt: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """Return the map from responses to the reader's input: `[B,W,F]`, or windows of a movie `[B,W,L,h,w]`."""
        if self.reader != "pictures":
            return self.windows.features
        movie = {name[6:]: value for name, value in learnt.items() if name.startswith("movie.")}
        return self.pictures.viewer(movie, self.windows)

    def _network(self, shape: Iterable[int], space: int) -> nn.Module:
        if self.reader == "pictures":
            return PictureReader(self.width, self.hidden, space, self.precision)
        (features,) = shape
        return Layers(features, self.hidden, space)


def _bank(training: TrainingSet, encoder: TextEncoder, spoken: Spoken) -> dict[str, Tensor]:
    """Return the captions of the training trials, as JSON in bytes, with their embeddings."""
    trials = training.recording.trials("train")
    texts = sorted({said.texts[0] for trial in trials for said in spoken(trial)})
    written = torch.tensor(list(json.dumps(texts).encode()), dtype=torch.uint8)
    return {"bank": written, "bank_embeddings": encoder(texts)}


def ridge(examples: Examples) -> dict[str, Tensor]:
    """Return `weights` `[F,D]` and `offset` `[D]`, with the penalty of least squared error over held-out trials."""
    fold = torch.unique(examples.trial, return_inverse=True)[1] % FOLDS
    errors = torch.zeros(len(PENALTIES))
    for number in fold.unique() if len(fold.unique()) > 1 else ():
        left = fold == number
        paths = solutions(examples.features[~left], examples.embeddings[~left])
        for index, (weights, offset) in enumerate(paths):
            predicted = examples.features[left] @ weights + offset
            errors[index] += float((predicted - examples.embeddings[left]).square().sum())
    weights, offset = solutions(examples.features, examples.embeddings)[int(errors.argmin())]
    return {"weights": weights.contiguous(), "offset": offset}


def solutions(features: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the ridge regression of targets `[K,D]` on features `[K,F]` for each of `PENALTIES`."""
    known, centre = Decomposed.of(features), targets.mean(0)
    projected, typical = known.projected(targets - centre), float(known.values.sum()) / features.shape[1]
    paths = (known.basis @ shrunk(projected, known.values, penalty * typical) for penalty in PENALTIES)
    return [(weights, centre - known.mean @ weights) for weights in paths]
