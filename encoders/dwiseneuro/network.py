"""The DwiseNeuro network, windows `[B,5,16,64,64]` → rates `[B,N,16]` of one mouse, and its published settings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from recon.encoders.canvas import centred
from recon.encoders.dwiseneuro.blocks import Readout, Shape, ShuffleLayer, blocks, run_layers, stem
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Positive, Some, UnitId
from recon.files.weights import check_shapes, described, from_mapping

NEURONS = {
    "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20": 7863,
    "dynamic29623-4-9-Video-9b4f6a1a067fe51e15306b9628efea20": 7908,
    "dynamic29647-19-8-Video-9b4f6a1a067fe51e15306b9628efea20": 8202,
    "dynamic29712-5-9-Video-9b4f6a1a067fe51e15306b9628efea20": 7939,
    "dynamic29755-2-8-Video-9b4f6a1a067fe51e15306b9628efea20": 8122,
    "dynamic29156-11-10-Video-8744edeac3b4d1ce16b680916b5267ce": 7440,
    "dynamic29228-2-10-Video-8744edeac3b4d1ce16b680916b5267ce": 7928,
    "dynamic29234-6-9-Video-8744edeac3b4d1ce16b680916b5267ce": 8285,
    "dynamic29513-3-5-Video-8744edeac3b4d1ce16b680916b5267ce": 7671,
    "dynamic29514-2-9-Video-8744edeac3b4d1ce16b680916b5267ce": 7495,
}
"""Number of neurons of the ten Sensorium 2023 mice, in the order of the published readouts."""

WHITE = 255.0
"""Grey level of white; the published weights take unnormalised grey levels 0–255."""


@dataclass(frozen=True)
class Subject:
    """The animal of a readout: recording name, neuron ids in order, frame rate (Hz) and degrees per pixel.

    `behavior_means` stand for behavior that is unknown; empty where it is required.
    """

    name: str
    neuron_ids: tuple[UnitId, ...]
    frame_rate: Positive = 30.0
    degrees_per_pixel: Positive = 1.45
    behavior_means: tuple[float, ...] = ()


@dataclass(frozen=True)
class DwiseSettings:
    """Published hyper-parameters under their published names; `frames`, `step`, `canvas`, `fill` define the input."""

    readout_outputs: Annotated[tuple[Count, ...], Some] = tuple(NEURONS.values())
    in_channels: Count = 5
    core_features: Annotated[tuple[Count, ...], Some] = (64, 64, 64, 64, 128, 128, 128, 256, 256)
    spatial_strides: Annotated[tuple[Count, ...], Some] = (2, 1, 1, 1, 2, 1, 1, 2, 1)
    spatial_kernel: Count = 3
    temporal_kernel: Count = 5
    expansion_ratio: Count = 6
    se_reduce_ratio: Count = 32
    cortex_features: Annotated[tuple[Count, ...], Some] = (1024, 2048, 4096)
    groups: Count = 2
    softplus_beta: Positive = 0.07
    drop_rate: Decay = 0.4
    drop_path_rate: Decay = 0.1
    frames: Count = 16
    step: Count = 2
    canvas: tuple[Count, Count] = (64, 64)
    fill: float = 0.0

    @property
    def span(self) -> int:
        """Frames covered by a window, from first to last."""
        return (self.frames - 1) * self.step + 1

    @property
    def window_bytes(self) -> int:
        """Approximate gradient memory of one window in bytes.

        Each block stores four wide float32 tensors, one before its spatial stride and three after it.

        >>> DwiseSettings(expansion_ratio=7).window_bytes // 2**20
        819
        """
        pixels, total = self.canvas[0] * self.canvas[1], 0
        for width, stride in zip(self.core_features, self.spatial_strides, strict=True):
            inside = pixels // stride**2
            total += width * self.expansion_ratio * (pixels + 3 * inside)
            pixels = inside
        return 4 * self.frames * total


class DwiseNeuroCore(nn.Module):
    """Stem, then alternating position codes and inverted residual blocks."""

    def __init__(self, settings: DwiseSettings) -> None:
        super().__init__()
        shape = Shape(
            settings.spatial_kernel, settings.temporal_kernel, settings.expansion_ratio, settings.se_reduce_ratio
        )
        self.stem = stem(settings.in_channels, settings.core_features[0])
        widths, strides = settings.core_features, settings.spatial_strides
        self.blocks = blocks(widths, strides, shape, drop_path=settings.drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `[B,C,T,H/8,W/8]` of inputs `[B,5,T,H,W]`."""
        features: Tensor = self.blocks(run_layers(self.stem, x))
        return features


class Cortex(nn.Module):
    """Grouped pointwise layers of increasing width on the spatial mean."""

    def __init__(self, settings: DwiseSettings) -> None:
        super().__init__()
        widths = (settings.core_features[-1], *settings.cortex_features)
        pairs = itertools.pairwise(widths)
        self.layers = nn.Sequential(*(ShuffleLayer(pair, settings.groups, settings.drop_path_rate) for pair in pairs))

    def forward(self, x: Tensor) -> Tensor:
        """Return features `[B,C',T]` of `[B,C,T]`."""
        features: Tensor = self.layers(x)
        return features


class DwiseNetwork(nn.Module):
    """The full published network with a readout per mouse; its state dict has the published names and shapes."""

    def __init__(self, settings: DwiseSettings) -> None:
        super().__init__()
        self.settings = settings
        self.core, self.cortex = DwiseNeuroCore(settings), Cortex(settings)
        width, groups = settings.cortex_features[-1], settings.groups
        options = {"beta": settings.softplus_beta, "drop": settings.drop_rate}
        self.readouts = nn.ModuleList(Readout(width, n, groups, **options) for n in settings.readout_outputs)

    def features(self, inputs: Tensor) -> Tensor:
        """Return the features `[B,C,T]` shared by all mice for window inputs `[B,5,T,H,W]`."""
        features: Tensor = self.cortex(self.core(inputs).mean((3, 4)))
        return features

    def forward(self, inputs: Tensor, index: int) -> Tensor:
        """Return rates `[B,N,T]` of one mouse for window inputs `[B,5,T,H,W]`."""
        rates: Tensor = self.readouts[index](self.features(inputs))
        return rates


def stacked(movie: Tensor, behavior: Tensor, settings: DwiseSettings) -> Tensor:
    """Return inputs `[B,5,T,h,w]` for a movie `[B,1,T,H,W]` in [0,1] and behavior `[B,4,T]` in the files' units.

    The grey frame is centred on its canvas. Each behavior channel is expanded to the canvas unless already
    `[B,4,T,h,w]`.
    """
    frames = centred(movie * WHITE, settings.canvas, fill=settings.fill)
    states = behavior if behavior.ndim == 5 else behavior[..., None, None].expand(-1, -1, -1, *settings.canvas)
    return torch.cat((frames, states), 1)


def from_params(params: Mapping[str, Any], where: str) -> DwiseSettings:
    """Return the settings in a published checkpoint's `params`; unknown entries raise InputError."""
    name, arguments = params["nn_module"]
    if name != "dwiseneuro":
        raise InputError(f"{where}: expected the network 'dwiseneuro', got {name!r}; take a DwiseNeuro checkpoint")
    stack, (inputs, inputs_arguments) = params["frame_stack"], params["inputs_processor"]
    found = (stack.get("position", "last"), inputs, params["responses_processor"][0])
    if found != ("last", "stack_inputs", "identity"):
        raise InputError(
            f"{where}: expected windows placed 'last', 'stack_inputs' and 'identity' responses, got {found}; "
            "take a checkpoint of the published recipe"
        )
    width, height = inputs_arguments["size"]
    tree: dict[str, Any] = {**arguments, "frames": stack["size"], "step": stack["step"], "canvas": (height, width)}
    tree["fill"] = float(inputs_arguments.get("pad_fill_value", 0.0))
    unknown = [key for key in tree if key not in {entry.name for entry in fields(DwiseSettings)}]
    if unknown:
        raise InputError(f"{where}: expected hyper-parameters of DwiseNeuro, got {unknown[0]!r}; update this program")
    return from_mapping(DwiseSettings, tree, where=f"{where}: params")


def to_params(settings: DwiseSettings) -> dict[str, Any]:
    """Return the `params` from which the public code builds the network of these settings.

    >>> from_params(to_params(DwiseSettings(frames=8)), "a file").frames
    8
    """
    seen = ("frames", "step", "canvas", "fill")
    network = {entry.name: getattr(settings, entry.name) for entry in fields(settings) if entry.name not in seen}
    size = tuple(reversed(settings.canvas))
    return {
        "nn_module": ("dwiseneuro", network),
        "frame_stack": {"size": settings.frames, "step": settings.step, "position": "last"},
        "inputs_processor": ("stack_inputs", {"size": size, "pad_fill_value": settings.fill}),
        "responses_processor": ("identity", {}),
    }


def build_network(settings: DwiseSettings, tensors: Mapping[str, Tensor], where: str) -> DwiseNetwork:
    """Return the network with these weights in evaluation mode; names and shapes must match the published ones."""
    network = described(where, lambda: DwiseNetwork(settings))
    check_shapes(where, network.state_dict(), tensors)
    # Assigned, not copied: unused readouts of a memory-mapped file are never read.
    network.load_state_dict(dict(tensors), assign=True)
    return network.eval()
