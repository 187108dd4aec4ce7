"""Static baselines of Sensorium 2022 (Willeke et al. 2022), applied to each frame of a movie.

Stacked convolutions, full Gaussian readouts with positions predicted from cortical coordinates, a pupil shifter, and
behavior as image channels. State dicts with the published names load strictly. Two networks are published: a CNN
("cnn": the `sota` files) and the same network without inner nonlinearities ("ln").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.base import Encoder, Spec, with_neurons
from recon.encoders.behavior import refuse_unknown
from recon.encoders.dwiseneuro.argus_files import read_state
from recon.encoders.sensorium.fixed_readout import FixedReadout
from recon.errors import InputError
from recon.errors.ranges import Positive
from recon.files.paths import user_path

Kind = Literal["cnn", "ln"]
Pair = tuple[float, float]
Triple = tuple[float, float, float]
WHITE = 255.0
FRAME_SIZE = (36, 64)
SEES = ("pupil_dilation", "running_speed", "pupil_x", "pupil_y")
LAYERS = re.compile(r"core\.features\.layer(\d+)\.")
READOUT = re.compile(r"readout\.(.+)\._features")


@dataclass(frozen=True)
class Normalisation:
    """Normalisation constants of the published loaders: inputs become (x − mean)/deviation.

    `image` is in grey levels (0–255). Pupil dilation, its change per second and running speed are divided by their
    deviations `behavior`, without centring. `pupil_mean` and `pupil_deviation` are those of the pupil centre (x, y).
    Weights files do not contain these constants. The default grey-level mean 113 and deviation 60 are close to the
    published recordings; supply the others.
    """

    image: tuple[float, Positive] = (113.0, 60.0)
    behavior: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    pupil_mean: Pair = (0.0, 0.0)
    pupil_deviation: tuple[Positive, Positive] = (1.0, 1.0)


class Separable(nn.Module):
    """Pointwise, depthwise and pointwise convolution without biases, under the published names."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.in_depth_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.spatial_conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.out_depth_conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `[B,C,H,W]`."""
        out: Tensor = self.out_depth_conv(self.spatial_conv(self.in_depth_conv(x)))
        return out


class Laplace(nn.Module):
    """Filter of the training regulariser, present in published state dicts and unused here."""

    filter: Tensor

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("filter", torch.zeros(size))


class Regularizer(nn.Module):
    """Container of the regulariser's filter under its published name."""

    def __init__(self, size: tuple[int, ...] = (1, 1, 3, 3)) -> None:
        super().__init__()
        self.laplace = Laplace(size)


class StackedCore(nn.Module):
    """An unpadded convolution, then separable ones; each with BatchNorm and, unless `linear`, ELU."""

    def __init__(self, state: Mapping[str, Tensor], *, linear: bool) -> None:
        super().__init__()
        first = state["core.features.layer0.conv.weight"]
        channels, inputs, kernel = first.shape[:3]
        count = 1 + max(int(found[1]) for found in map(LAYERS.match, state) if found)
        self._input_weights_regularizer = Regularizer()
        self.features = nn.Sequential()
        for index in range(count):
            layer = nn.Sequential()
            if index == 0:
                layer.add_module("conv", nn.Conv2d(inputs, channels, kernel, bias=False))
            else:
                width = state[f"core.features.layer{index}.ds_conv.spatial_conv.weight"].shape[-1]
                layer.add_module("ds_conv", Separable(channels, width))
            layer.add_module("norm", nn.BatchNorm2d(channels))
            if not linear:
                layer.add_module("nonlin", nn.ELU())
            self.features.add_module(f"layer{index}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's features `[B,C,H−8,W−8]`."""
        features: Tensor = self.features(x)
        return features


class GaussianReadout(nn.Module):
    """Drive `[B,N]`: weighted features at one position per neuron, predicted from its cortical coordinates."""

    source_grid: Tensor

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in ("sigma", "_features", "bias"):
            self.register_parameter(name, nn.Parameter(torch.zeros_like(state[name])))
        self.register_buffer("source_grid", torch.zeros_like(state["source_grid"]))
        hidden, places = state["mu_transform.0.weight"].shape
        self.mu_transform = nn.Sequential(nn.Linear(places, hidden), nn.ELU(), nn.Linear(hidden, 2), nn.Tanh())
        self._matrix: tuple[Any, FixedReadout] | None = None

    def forward(self, features: Tensor, shift: Tensor | None) -> Tensor:
        """Return the drive for features `[B,C,H,W]`, with positions shifted by `shift` `[B,2]`."""
        weights, bias = self.get_parameter("_features")[0, :, 0], self.get_parameter("bias")
        grid = self.mu_transform(self.source_grid).clamp(-1, 1)
        if shift is None and not grid.requires_grad:
            return self._fixed(grid, weights, features.shape[2:])(features) + bias
        grid = grid[None, :, None].expand(len(features), -1, -1, -1)
        grid = grid if shift is None else grid + shift[:, None, None]
        seen = functional.grid_sample(features, grid, align_corners=True)[..., 0]
        return torch.einsum("bcn,cn->bn", seen, weights) + bias

    def _fixed(self, grid: Tensor, weights: Tensor, size: tuple[int, ...]) -> FixedReadout:
        """Return the frozen readout as one sparse matrix, rebuilt if a weight changes value or device."""
        tensors = (*self.parameters(), *self.buffers())
        state = (*((tensor.data_ptr(), tensor._version) for tensor in tensors), size)
        if self._matrix is None or self._matrix[0] != state:
            self._matrix = (state, FixedReadout(grid, weights, (size[0], size[1])))
        return self._matrix[1]


class Sensorium2022(Encoder):
    """Rates of one mouse, frame by frame, in units of the responses' standard deviation."""

    def __init__(
        self, state: Mapping[str, Tensor], *, mouse: str, kind: Kind, normalisation: Normalisation, transform: str
    ) -> None:
        super().__init__()
        own = {name.removeprefix(f"readout.{mouse}."): value for name, value in state.items() if "readout" in name}
        self.core = StackedCore(state, linear=kind == "ln")
        self.readout = nn.ModuleDict({mouse: GaussianReadout(own)})
        self.shifter = shifter_of(state, mouse)
        self.mouse, self.normalisation = mouse, normalisation
        self.behaving = state["core.features.layer0.conv.weight"].shape[1] > 1
        sees = (*SEES[: 2 if self.behaving else 0], *SEES[2 if self.shifter is not None else 4 :])
        # The change in pupil dilation depends on the previous frame.
        context = (1 if self.behaving else 0, 0)
        neurons = tuple(range(len(own["bias"])))
        self.spec = Spec(FRAME_SIZE, neurons, context=context, behavior=sees, response_transform=transform)

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,1,T,36,64]` in [0,1] and behavior `[B,4,T]`."""
        if tuple(movie.shape[3:]) != FRAME_SIZE or movie.shape[1] != 1:
            raise InputError(f"movie: expected [B,1,T,36,64], got {tuple(movie.shape)}; resize it")
        if self.spec.behavior and (behavior is None or behavior.shape[2] != movie.shape[2]):
            raise InputError(f"behavior: expected [B,4,{movie.shape[2]}], got none or another length; pass the movie's")
        refuse_unknown(self.spec, behavior)
        mean, deviation = self.normalisation.image
        frames = rearrange((movie * WHITE - mean) / deviation, "b c t h w -> (b t) c h w")
        shift = None
        if behavior is not None and self.behaving:
            frames = torch.cat([frames, self._states(behavior)[..., None, None].expand(-1, -1, *FRAME_SIZE)], 1)
        if behavior is not None and self.shifter is not None:
            shift = self.shifter[self.mouse].mlp(self._pupil(behavior))
        drive = self.readout[self.mouse](self.core(frames), shift)
        rates: Tensor = functional.elu(drive) + 1
        return rearrange(rates, "(b t) n -> b n t", b=len(movie))

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> Sensorium2022:
        """Assign the recording's neuron ids to the readout."""
        self.spec = with_neurons(self.spec, neuron_ids, mouse=self.mouse)
        return self

    def _states(self, behavior: Tensor) -> Tensor:
        """Return `[B·T,3]`: pupil dilation, its change per second and running speed, each divided by its deviation."""
        dilation, running = behavior[:, 0], behavior[:, 1]
        change = torch.diff(dilation, prepend=dilation[:, :1]) * self.spec.frame_rate
        states = torch.stack([dilation, change, running], -1) / behavior.new_tensor(self.normalisation.behavior)
        return rearrange(states, "b t k -> (b t) k")

    def _pupil(self, behavior: Tensor) -> Tensor:
        mean, deviation = self.normalisation.pupil_mean, self.normalisation.pupil_deviation
        centre = rearrange(behavior[:, 2:4], "b k t -> (b t) k")
        return (centre - centre.new_tensor(mean)) / centre.new_tensor(deviation)


class Shifter(nn.Module):
    """MLP from pupil position to a shift of the readout positions: linear layers, each followed by tanh."""

    def __init__(self, widths: list[tuple[int, int]]) -> None:
        super().__init__()
        self.mlp = nn.Sequential()
        for after, before in widths:
            self.mlp.extend([nn.Linear(before, after), nn.Tanh()])


def load_sensorium2022(
    weights: str | Path,
    kind: Kind,
    *,
    mouse: str = "",
    normalisation: Normalisation | None = None,
    response_transform: str = "divided by std",
) -> Sensorium2022:
    """Return one mouse's encoder of a published state dict, in evaluation mode.

    `mouse` is optional if the file has only one. Raises InputError if names or shapes differ from the published ones.
    """
    path = user_path(weights)
    state = read_state(path)
    mice = [found[1] for found in map(READOUT.fullmatch, state) if found]
    chosen = mouse or (mice[0] if len(mice) == 1 else "")
    if chosen not in mice or "core.features.layer0.conv.weight" not in state:
        raise InputError(f"{path}: expected a readout of mouse {mouse or '…'}, got those of {mice}; name one of them")
    own = {name: value for name, value in state.items() if belongs(name, chosen)}
    try:
        encoder = Sensorium2022(
            own,
            mouse=chosen,
            kind=kind,
            normalisation=normalisation or Normalisation(),
            transform=response_transform,
        )
        encoder.load_state_dict(own)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected the published names and shapes, got: {reason}; check the file") from error
    return encoder.eval()


def belongs(name: str, mouse: str) -> bool:
    """Return whether a weight is needed for a mouse: false for the readouts and shifters of other mice."""
    part, _, rest = name.partition(".")
    return part not in ("readout", "shifter") or rest.startswith(f"{mouse}.")


def shifter_of(state: Mapping[str, Tensor], mouse: str) -> Any:
    """Return the shifter of a mouse, or None if the state has none."""
    start, end = f"shifter.{mouse}.mlp.", ".weight"
    sizes = {name: value.shape for name, value in state.items() if name.startswith(start) and name.endswith(end)}
    widths = [(shape[0], shape[1]) for _, shape in sorted(sizes.items())]
    return nn.ModuleDict({mouse: Shifter(widths)}) if widths else None
