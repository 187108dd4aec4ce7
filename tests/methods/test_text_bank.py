"""Caption banks: what is read and refused, embedding in parts, the nearest caption, and what a prior is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds
from worlds import pipelines as tiny_pipelines
from worlds.spoken import WORDS, Spoken, posed

from recon.methods import Sample, fitted
from recon.methods.named_files import content_named
from recon.methods.text import bank as banks
from recon.methods.text.bank import LONGEST, bank_facts, bank_parts, captions_in, embed_bank, nearest
from recon.methods.text.decoder import Decoded
from recon.methods.text.examples import Windows
from recon.methods.text.sources import Typed
from recon.priors.base import Denoiser
from recon.priors.latent_diffusion import Pretrained
from recon.priors.prior import TextSource
from recon.priors.text import TextEncoder

OTHERS = ("a bowl of soup", "the tax office", "seven brown horses")
NARROW = Windows(12, 4, delay=0)


class OfTexts(Denoiser):
    """A model of texts, which notes what it is told; with a caption space, one of embeddings."""

    def __init__(self, space: str | None = None) -> None:
        super().__init__()
        self.space, self.told = space, list[str]()

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        return x

    @property
    def caption_space(self) -> str | None:
        return self.space

    def embed(self, texts: Sequence[str]) -> Tensor:
        self.told += texts
        return TextEncoder()(texts)


def written(folder: Path, *texts: str, name: str = "captions.txt") -> str:
    (folder / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(folder / name)


def test_blank_lines_and_repeats_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "bank.txt").write_bytes("\ufeffein Bär \r\n\r\na dog\n  \na dog\n\tein Bär\nlast".encode())
    assert captions_in(tmp_path / "bank.txt") == ["ein Bär", "a dog", "last"]
    (tmp_path / "long.txt").write_text("a" * LONGEST + "\nb\n")
    assert captions_in(tmp_path / "long.txt") == ["a" * LONGEST, "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "bank: expected a text file with one caption per line, got .*: No such file or directory; name one"),
        (b"", "expected at least one caption, got .* without any; write one per line"),
        (b"\n \n\t\n", "expected at least one caption"),
        (b"a dog\nrow\0s\n", "expected a text file, got a binary one .*bank, line 2.; save it as text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "expected a text file in UTF-8, got .* with invalid start byte"),
        ("ein Bär\n".encode("latin-1"), "expected a text file in UTF-8, got .* with invalid continuation byte"),
        (b"a dog\n" + b"9" * (LONGEST + 1), "of at most 2000 characters, got a longer line .*line 2.; break it into"),
    ],
)
def test_what_is_no_bank_is_refused_before_anything_is_learnt(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bank"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Decoded(bank=str(path)).check_weights(worlds.training(tmp_path))


def test_a_folder_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got .*: Is a directory; name one"):
        captions_in(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts that are embedded, by a text encoder of two dimensions: angles in degrees; parts are small."""
    found = list[str]()

    def embedded(source: str) -> object:
        def angles(texts: Sequence[str]) -> Tensor:
            found.extend(texts)
            radians = torch.tensor([float(text) for text in texts]).deg2rad()
            return torch.stack([radians.cos(), radians.sin()], 1)

        return angles

    monkeypatch.setattr(banks, "TextEncoder", embedded)
    monkeypatch.setattr(banks, "PART", 3)
    return found


def test_a_bank_is_embedded_in_parts_by_content(tmp_path: Path, asked: list[str]) -> None:
    angles = [str(angle) for angle in range(0, 70, 10)]
    file = written(tmp_path, *angles)
    path = embed_bank(file, "minilm", tmp_path / "artefacts")
    assert asked == angles
    assert [list(part.texts) for part in bank_parts(path)] == [angles[:3], angles[3:6], angles[6:]]
    asked.clear()
    assert embed_bank(written(tmp_path, *angles, name="again.txt"), "minilm", tmp_path / "artefacts") == path
    assert not asked, "another name, the same captions"
    longer = embed_bank(written(tmp_path, *angles, "80"), "minilm", tmp_path / "artefacts")
    assert longer != path and asked == ["60", "80"], "only the part that grew"
    asked.clear()
    first = next(part for part in (tmp_path / "artefacts").glob("captions_embedded-*") if b"20" in part.read_bytes())
    first.unlink()
    embed_bank(file, "minilm", tmp_path / "artefacts")
    assert asked == angles[:3], "a lost part"
    wanted = torch.tensor([[1.0, 0.2], [1.0, 1.5], [0.1, 2.0]])
    assert nearest(wanted, bank_parts(path), centre=torch.zeros(2)) == ["10", "60", "60"]
    assert nearest(wanted, bank_parts(longer), centre=torch.zeros(2)) == ["10", "60", "80"]


def test_the_centre_is_taken_off_both_sides(tmp_path: Path, asked: list[str]) -> None:
    """All captions lie within 20 degrees; seen from their middle they are far apart."""
    path = embed_bank(written(tmp_path, "0", "10", "20"), "minilm", tmp_path)
    centre = torch.tensor([10.0]).deg2rad()
    middle = torch.cat([centre.cos(), centre.sin()])
    assert nearest(middle + torch.tensor([[-0.01, 0.3]]), bank_parts(path), centre=middle) == ["20"]
    assert nearest(middle + torch.tensor([[0.01, -0.3]]), bank_parts(path), centre=middle) == ["0"]


def test_captions_of_the_bank_are_told(tmp_path: Path) -> None:
    """Its words were said of no training trial; models of texts hear one a clip, others one a window."""
    said = tuple(f"this is {words}" for words in WORDS)
    recording, file = Spoken(40), written(tmp_path, *OTHERS, *said)
    training = worlds.training(tmp_path, recording)
    plain = Decoded(windows=NARROW).fit(training)
    ready = Decoded(windows=NARROW, bank=file).fit(training)
    assert ready.artefact == plain.artefact, "the decoder is the same"
    trials = [trial for trial, scenes in enumerate(recording.shown) if scenes[0] != scenes[1]][:6]
    responses = recording.responses[trials]
    problem = posed(responses)
    clip, frames = OfTexts(), OfTexts("minilm")
    assert ready.condition(problem, clip).shape == (6, 384) and set(clip.told) <= {*OTHERS, *said}
    told = ready.condition(problem, frames)
    assert told.shape == (6, 24, 384) and len(set(frames.told)) == len(frames.told)
    known = TextEncoder()(said)
    heard = (told @ known.T).argmax(2)
    right = [[heard[row, 4] == first, heard[row, 19] == last] for row, (first, last) in _scenes(recording, trials)]
    assert sum(sum(map(int, pair)) for pair in right) >= 9, "of 12; by chance 3"
    assert torch.equal(told, known[heard]) and not torch.equal(plain.condition(problem, frames), told)


def test_a_pipeline_is_told_captions_of_the_bank(tmp_path: Path) -> None:
    recording, prior = Spoken(20), partial(Pretrained, tiny_pipelines.folder("image"), guidance=2.0, scale=2)
    training, problem = worlds.training(tmp_path, recording), posed(recording.responses[:2])

    def movie(text: TextSource) -> Tensor:
        method = fitted(Sample(prior(text), levels=2, highest=10.0), training)
        *_, last = method(problem, torch.Generator().manual_seed(0))
        return last.movie

    (only,) = OTHERS[:1]
    drawn = movie(Decoded(windows=NARROW, bank=written(tmp_path, only)))
    assert bool(drawn.isfinite().all()) and torch.equal(drawn, movie(Typed(only)))
    assert not torch.equal(drawn, movie(Decoded(windows=NARROW)))


def _scenes(recording: Spoken, trials: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
    return [(row, (recording.shown[trial][0], recording.shown[trial][1])) for row, trial in enumerate(trials)]


def test_the_content_of_a_bank_is_part_of_a_result(tmp_path: Path) -> None:
    file = written(tmp_path, "a dog")
    text = Decoded(bank=file)
    before, facts = content_named(text), bank_facts(file)
    assert facts in text.sees.learnt and facts.startswith("captions of the bank captions.txt (SHA-256 ")
    written(tmp_path, "a cat")
    assert content_named(text) != before and bank_facts(file) != facts
    assert replace(text, bank=str(tmp_path / "no")).sees.learnt[-1] == "captions of the bank no (absent)"


@pytest.mark.slow
def test_a_million_captions_are_searched(tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banks, "PART", 20_000)
    count = 1_000_000
    file = written(tmp_path, *(f"{360 * number / count:.5f}" for number in range(count)))
    path = embed_bank(file, "minilm", tmp_path)
    angle = torch.tensor([12.3, 200.0]).deg2rad()
    found = nearest(torch.stack([angle.cos(), angle.sin()], 1), bank_parts(path), centre=torch.zeros(2))
    assert len(asked) == count and [float(text) for text in found] == pytest.approx([12.3, 200.0], abs=0.1)
