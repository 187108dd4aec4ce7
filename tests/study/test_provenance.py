"""What names a task: the weights that a method names count by what is in them."""

from __future__ import annotations

from pathlib import Path

from recon.methods import Convolutional, DiffPir, Gradient, Posterior, Smoothed
from recon.methods.diffusion.priors import Diffusion, GaussianPrior
from recon.methods.named_files import content_named


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
