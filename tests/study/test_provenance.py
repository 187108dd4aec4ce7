"""What names a task: the weights that a method names count by what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recon.analysis.language import features
from recon.methods import Convolutional, DiffPir, Egg, Gradient, Posterior, Smoothed
from recon.methods.named_files import content_named
from recon.methods.neural.latent import Images, Latent
from recon.methods.text.decoder import Decoded
from recon.methods.text.sources import Typed
from recon.priors.diffusion import Diffusion
from recon.priors.gaussian import GaussianPrior
from recon.priors.latent_diffusion import Pretrained


def test_weights_count_by_their_content_wherever_a_method_names_them(tmp_path: Path) -> None:
    file = tmp_path / "prior.safetensors"
    file.write_bytes(b"first")
    method = Smoothed(Posterior(DiffPir(Diffusion(str(file)))))
    first = content_named(method)
    file.write_bytes(b"other")
    assert len(first) == 1 and content_named(method) != first
    file.unlink()
    assert content_named(method) == [f"no {file}"]


def test_shipped_weights_are_found_by_name_and_methods_without_name_none() -> None:
    shipped = [content_named(DiffPir(Diffusion())), content_named(Convolutional(weights="v1_decoder_seed0"))]
    assert all(len(found) == 1 and not found[0].startswith("no ") for found in shipped) and shipped[0] != shipped[1]
    assert len(content_named(Convolutional(weights="v1_decoder_seed{seed}"))) == 3
    assert content_named(DiffPir(GaussianPrior())) == content_named(Gradient()) == content_named(Convolutional()) == []


def test_folders_and_tables_that_a_method_names_count_by_their_content(tmp_path: Path) -> None:
    model, table = tmp_path / "model", tmp_path / "said.csv"
    model.mkdir()
    (model / "weights.bin").write_bytes(b"first")
    table.write_text("first")
    methods = [
        DiffPir(Diffusion(text=Decoded(encoder=str(model)))),
        DiffPir(Diffusion(text=Decoded(said=f"{table}:model"))),
        Egg(Pretrained(str(model))),
        Latent(Images(str(model))),
    ]
    before = [content_named(method) for method in methods]
    (model / "weights.bin").write_bytes(b"other")
    table.write_text("other")
    assert all(first != content_named(method) for first, method in zip(before, methods, strict=True))
    assert content_named(DiffPir(Diffusion(text=Typed("a bird " * 1000)))) == content_named(DiffPir(Diffusion()))


def test_caption_embeddings_follow_the_text_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"first")
    monkeypatch.setattr(
        features.TextEncoder, "__call__", lambda encoder, texts: torch.full((1, 2), float(model.stat().st_size))
    )
    first = features.embeddings(["a bird"], str(model), tmp_path / "artefacts")
    model.write_bytes(b"another")
    assert not torch.equal(
        features.embeddings(["a bird"], str(model), tmp_path / "artefacts")["a bird"], first["a bird"]
    )
