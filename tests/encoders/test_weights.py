"""Weights of every room: hostile settings are refused before memory is taken, NaN and infinity are named."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from worlds import linear

from recon.encoders.base import Encoder, Spec
from recon.encoders.checkpoints import SHIPPED as ENCODERS
from recon.encoders.checkpoints import architectures, load_encoder, save_encoder
from recon.encoders.core_readout.model import CoreReadout
from recon.encoders.dwiseneuro.argus_files import read_state
from recon.errors import InputError
from recon.files.weights import check_tensors, described
from recon.methods.named_files import DECODERS
from recon.methods.neural.weights_file import architecture_of, dropout_of, find_decoder, read_decoder
from recon.priors.movie_autoencoder import MovieAutoencoder, load_autoencoder, save_autoencoder
from recon.priors.movie_diffusion import MovieDiffusion, load_movie_diffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.weights_file import SHIPPED as PRIORS

Load = Callable[[Path], object]
NESTED = "[" * 10_000 + "]" * 10_000


def encoder(name: str) -> Encoder:
    chosen = architectures()[name]
    return chosen.build(Spec((6, 8), (1, 2, 3)), chosen.settings())


def write(kind: str, path: Path) -> Load:
    if kind == "autoencoder":
        save_autoencoder(MovieAutoencoder(), path, card={})
        return load_autoencoder
    if kind == "diffusion":
        small = MovieUnetSettings(widths=(4, 8), depth=1, text=3, steering=4)
        save_movie_diffusion(MovieDiffusion(small), path, card={})
        return load_movie_diffusion
    save_encoder(encoder(kind), path, card={})
    return load_encoder


def decoder_named(name: str) -> object:
    return find_decoder(name, linear.training(Path("artefacts")))


@pytest.mark.parametrize(
    ("load", "name", "meant", "remedy"),
    [
        (load_encoder, "v1_sed0", "v1_seed0", "train one with `recon train encoder`"),
        (load_movie_diffusion, "move_diffusion", "movie_diffusion", "train one with `recon train prior`"),
        (load_autoencoder, "movie", "movies", "train one with `recon train autoencoder`"),
        (decoder_named, "v1_decoder_sed0", "v1_decoder_seed0", "leave out `weights` to train one"),
    ],
)
def test_a_name_of_no_weights_is_explained_with_the_nearest_one(
    load: Callable[[str], object], name: str, meant: str, remedy: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(name)
    assert f"a file or a shipped name ({', '.join(shipped_beside(meant))}), got '{name}'" in str(caught.value)
    assert f"(did you mean '{meant}'?); " in str(caught.value) and str(caught.value).endswith(remedy)
    for elsewhere in (f"./{meant}", f"../weights/{meant}", "x" * 5000):
        with pytest.raises(InputError, match=r"weights: expected an? "):
            load(elsewhere)


def shipped_beside(name: str) -> list[str]:
    (folder,) = (folder for folder in (ENCODERS, PRIORS, DECODERS) if (folder / f"{name}.safetensors").is_file())
    return sorted(file.stem for file in folder.glob("*.safetensors"))


def rewrite(path: Path, *, header: dict[str, str] | None = None, spoil: float | None = None) -> str:
    """Change entries of a file's header, or the first value of its last floating-point tensor; return its name."""
    with safe_open(path, framework="pt") as file:
        about = dict(file.metadata())
        names = list(file.keys())
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
    name = max(name for name, value in tensors.items() if value.is_floating_point())
    if spoil is not None:
        tensors[name].view(-1)[0] = spoil
    save_file(tensors, path, {**about, **(header or {})})
    return name


def changed(text: str, value: object) -> str:
    """Settings with every whole number, or list of them, replaced."""

    def replaced(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: replaced(one) for key, one in part.items()}
        return value if isinstance(part, int | list) and not isinstance(part, bool) else part

    return json.dumps(replaced(json.loads(text)))


@pytest.fixture
def little_memory() -> Any:
    """At most 4 GiB more address space than now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


KINDS = ("core_readout", "judge", "glm", "linear", "autoencoder", "diffusion")


@pytest.mark.parametrize("value", [10**9, -1, [3, 4], "many", 1.5, None], ids=str)
@pytest.mark.parametrize("kind", sorted({*KINDS} - {"linear"}))
def test_settings_out_of_range_name_the_file(kind: str, value: object, tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "weights.safetensors"
    load = write(kind, path)
    with safe_open(path, framework="pt") as file:
        text = file.metadata()["settings"]
    rewrite(path, header={"settings": changed(text, value)})
    with pytest.raises(InputError, match=r"weights\.safetensors.*expected"):
        load(path)


@pytest.mark.parametrize(
    "text", [NESTED, "[]", "3", "{", '{"lags": NaN}', "null", '{"nothing": 1}'], ids=lambda t: t[:9]
)
@pytest.mark.parametrize("kind", KINDS)
def test_settings_that_are_no_settings_name_the_file(kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    load = write(kind, path)
    rewrite(path, header={"settings": text})
    with pytest.raises(InputError, match=r"weights\.safetensors.*settings.*expected"):
        load(path)


@pytest.mark.parametrize("spec", [NESTED, "[]", '{"frame_size": [6, 8]}', '{"frame_size": 3, "neuron_ids": []}'])
def test_a_hostile_spec_names_the_file(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_encoder(encoder("glm"), path, card={})
    rewrite(path, header={"spec": spec})
    with pytest.raises(InputError, match=r"weights\.safetensors.*spec.*expected"):
        load_encoder(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_not_finite_name_file_and_tensor(kind: str, value: float, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    load = write(kind, path)
    name = rewrite(path, spoil=value)
    with pytest.raises(InputError, match=rf"weights\.safetensors: {name}: expected finite weights"):
        load(path)


def test_foreign_weights_are_finite_and_dense(tmp_path: Path) -> None:
    path = tmp_path / "state.pth"
    for bad in (torch.tensor([1.0, torch.nan]), torch.zeros(1).expand(10**12)):
        torch.save({"fine": torch.ones(2), "readout": bad}, path)
        with pytest.raises(InputError, match=r"state\.pth: readout: expected"):
            read_state(path)
    torch.save({"fine": torch.ones(2)}, path)
    assert set(read_state(path)) == {"fine"}


def test_infinity_is_allowed_where_the_record_says_so() -> None:
    tensors = {"read_in.std": torch.tensor([1.0, torch.inf])}
    check_tensors("file", tensors, infinite=(".std",))
    with pytest.raises(InputError, match=r"file: read_in\.std"):
        check_tensors("file", tensors)
    with pytest.raises(InputError, match=r"file: a\.std"):
        check_tensors("file", {"a.std": torch.tensor([torch.nan])}, infinite=(".std",))


@pytest.mark.parametrize("card", ["[]", NESTED, '{"method": 3}', '{"method": {"architecture": [], "dropout": "x"}}'])
def test_a_decoders_card_is_checked(card: str, tmp_path: Path) -> None:
    path = tmp_path / "decoder.safetensors"
    save_file({"neurons": torch.ones(2)}, path, {"card": card})
    for read in (architecture_of, lambda file: dropout_of(file, 0.1)):
        with pytest.raises(InputError, match=r"decoder\.safetensors.*card.*expected"):
            read(path)


def test_the_description_of_an_encoder_has_its_shapes() -> None:
    spec = Spec((6, 8), (1, 2, 3), behavior=("pupil_dilation", "running_speed"))
    real, empty = CoreReadout(spec), described("file", lambda: CoreReadout(spec))
    shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in (real, empty)]
    assert shapes[0] == shapes[1]
    assert all(value.is_meta for value in empty.state_dict().values())


def test_a_decoder_may_have_unused_neurons_and_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "decoder.safetensors"
    save_file({"read_in.std": torch.tensor([1.0, torch.inf]), "head.bias": torch.ones(2)}, path)
    assert set(read_decoder(path)) == {"read_in.std", "head.bias"}
    for name, bad in (("read_in.std", torch.nan), ("head.bias", torch.inf)):
        save_file({name: torch.tensor([1.0, bad])}, path)
        with pytest.raises(InputError, match=rf"decoder\.safetensors: {name}: expected finite"):
            read_decoder(path)
