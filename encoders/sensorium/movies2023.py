"""Baselines of Sensorium 2023 (Turishcheva et al. 2023): rates of a whole trial in one pass.

Behavior enters as additional image channels. The core is a "factorised" or "full" 3-D convolution, or a 2-D one
followed by a GRU. A Gaussian readout, shifted by pupil position, reads one point per neuron. State dicts with the names
of the public code (ecker-lab/sensorium_2023 on neuralpredictors) load strictly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec, with_neurons
from recon.encoders.behavior import refuse_unknown
from recon.encoders.dwiseneuro.argus_files import read_state
from recon.encoders.sensorium.cores2023 import FrameCore, Recurrence, SpaceTimeCore, core_kind
from recon.encoders.sensorium.static2022 import GaussianReadout, Pair, belongs, shifter_of
from recon.errors import InputError
from recon.errors.ranges import Positive
from recon.files.paths import user_path

WHITE = 255.0
FRAME_SIZE = (36, 64)
UNENDING = 10_000
"""Context in frames of a GRU with unlimited memory; longer than any trial."""
READ_AT_ONCE = 32
"""Frames per readout batch; sampling takes memory for F·N values per frame."""
CHANNELS = {1: 0, 3: 2, 5: 4}
"""Behavior channels by number of core input channels: none, the first two, all."""
READOUT = re.compile(r"readout\.(.+)\._features")


@dataclass(frozen=True)
class Statistics:
    """Normalisation constants of the published loaders, computed over all trials of a recording.

    Grey levels (0–255) and pupil centre are z-scored. Pupil dilation and running speed are divided by their deviations
    `behavior`, without centring. Weights files do not contain these constants. The default grey-level mean 113 and
    deviation 60 are close to the published recordings; supply the others.
    """

    image: tuple[float, Positive] = (113.0, 60.0)
    behavior: tuple[Positive, Positive] = (1.0, 1.0)
    pupil_mean: Pair = (0.0, 0.0)
    pupil_deviation: tuple[Positive, Positive] = (1.0, 1.0)


class Sensorium2023(Encoder):
    """Rates of one mouse, in units of the responses' standard deviation.

    Rates are causal. 3-D convolutions have no temporal padding, so the public code returns no rates for the first
    `spec.context[0]` frames (18 for factorised, 16 for full cores) and its evaluation drops the first 50. Here copies
    of the trial's first frame and behavior fill the missing context; only those first rates depend on them. A GRU
    starts from zero at the first frame and has unlimited memory. `memory` limits its nominal context to that many
    frames: a window that starts this much earlier then approximates the whole trial.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        *,
        mouse: str,
        statistics: Statistics,
        padded: bool | None = None,
        memory: int | None = None,
        response_transform: str = "divided by std",
    ) -> None:
        super().__init__()
        own = {name.removeprefix(f"readout.{mouse}."): value for name, value in state.items() if "readout" in name}
        kind = core_kind(state)
        core = FrameCore if kind in ("frames", "rotated") else SpaceTimeCore
        self.core = core(state, padded=kind == "full" if padded is None else padded)
        self.gru_module = Recurrence(state) if any(name.startswith("gru_module.") for name in state) else None
        self.readout = nn.ModuleDict({mouse: GaussianReadout(own)})
        self.shifter = shifter_of(state, mouse)
        self.mouse, self.statistics, self.lost = mouse, statistics, int(self.core.lost)
        self.behaving = _behavior_channels(state)
        remembered = UNENDING if memory is None else memory
        before = self.lost + (0 if self.gru_module is None else remembered)
        sees = BEHAVIOR_CHANNELS[: self.behaving]
        sees += () if self.shifter is None else BEHAVIOR_CHANNELS[max(self.behaving, 2) :]
        self.spec = Spec(
            FRAME_SIZE,
            tuple(range(len(own["bias"]))),
            context=(before, 0),
            behavior=sees,
            response_transform=response_transform,
        )

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,1,T,36,64]` in [0,1] and behavior `[B,4,T]`."""
        states = self._states(movie, behavior)
        mean, deviation = self.statistics.image
        inputs = (movie * WHITE - mean) / deviation
        if self.behaving:
            channels = states[:, : self.behaving, :, None, None].expand(-1, -1, -1, *FRAME_SIZE)
            inputs = torch.cat((inputs, channels), 1)
        still = inputs[:, :, :1].expand(-1, -1, self.lost, -1, -1)
        features: Tensor = self.core(torch.cat((still, inputs), 2))
        if self.gru_module is not None:
            features = self.gru_module(features)
        pupil = rearrange(states[:, 2:], "b k t -> (b t) k")
        drive = self._drive(rearrange(features, "b f t h w -> (b t) f h w"), pupil)
        rates = functional.elu(drive) + 1
        return rearrange(rates, "(b t) n -> b n t", b=len(movie))

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> Sensorium2023:
        """Assign the recording's neuron ids to the readout."""
        self.spec = with_neurons(self.spec, neuron_ids, mouse=self.mouse)
        return self

    def _drive(self, features: Tensor, pupil: Tensor) -> Tensor:
        """Return the drive `[M,N]` for features `[M,F,h,w]` and pupil centres `[M,2]`."""
        readout, parts = self.readout[self.mouse], torch.split(features, READ_AT_ONCE)
        if self.shifter is None:
            return torch.cat([readout(part, None) for part in parts])
        shifts = torch.split(self.shifter[self.mouse].mlp(pupil), READ_AT_ONCE)
        return torch.cat([readout(part, shift) for part, shift in zip(parts, shifts, strict=True)])

    def _states(self, movie: Tensor, behavior: Tensor | None) -> Tensor:
        """Return behavior `[B,4,T]` normalised as in the published loaders; zeros if the encoder uses none."""
        if movie.ndim != 5 or movie.shape[1] != 1 or tuple(movie.shape[3:]) != FRAME_SIZE:
            raise InputError(f"movie: expected [B,1,T,36,64], got {tuple(movie.shape)}; resize it")
        expected = (len(movie), len(BEHAVIOR_CHANNELS), movie.shape[2])
        if not self.spec.behavior:
            return movie.new_zeros(expected)
        if behavior is None or tuple(behavior.shape) != expected:
            found = None if behavior is None else tuple(behavior.shape)
            raise InputError(f"behavior: expected {expected}, got {found}; pass the movie's own")
        refuse_unknown(self.spec, behavior)
        mean = movie.new_tensor((0.0, 0.0, *self.statistics.pupil_mean))
        deviation = movie.new_tensor((*self.statistics.behavior, *self.statistics.pupil_deviation))
        return (behavior.to(movie) - mean[:, None]) / deviation[:, None]


def load_sensorium2023(
    weights: str | Path,
    mouse: str = "",
    *,
    statistics: Statistics | None = None,
    padded: bool | None = None,
    memory: int | None = None,
    response_transform: str = "divided by std",
) -> Sensorium2023:
    """Return one mouse's encoder of a published state dict, in evaluation mode.

    `mouse` is a data key of the file, or its part before "-Video"; optional if the file has one mouse. A state dict
    does not record spatial padding: `padded` sets it (for 2-D cores, of the first layer only; None: as published,
    "full" cores only). Raises InputError if names or shapes differ from the published ones.
    """
    path = user_path(weights)
    state = read_state(path)
    chosen = _chosen_mouse(path, mouse, [found[1] for found in map(READOUT.fullmatch, state) if found])
    own = {name: value for name, value in state.items() if belongs(name, chosen)}
    try:
        encoder = Sensorium2023(
            own,
            mouse=chosen,
            statistics=statistics or Statistics(),
            padded=padded,
            memory=memory,
            response_transform=response_transform,
        )
        encoder.load_state_dict(own)
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(f"no {error}".split() if isinstance(error, KeyError) else str(error).split())
        raise InputError(f"{path}: expected the published names and shapes, got: {reason}; check the file") from error
    return encoder.eval()


def _chosen_mouse(path: Path, mouse: str, mice: list[str]) -> str:
    named = [key for key in mice if mouse in (key, key.partition("-Video")[0])] if mouse else mice
    if len(named) != 1:
        raise InputError(
            f"{path}: expected a readout of mouse {mouse or '…'}, got those of {', '.join(mice) or 'none'}; "
            "name one of them"
        )
    return named[0]


def _behavior_channels(state: Mapping[str, Tensor]) -> int:
    """Return the number of behavior channels in the core's input."""
    first = "core.features.layer0."
    coefficients = state.get(f"{first}hermite_conv.coeffs")
    weight = state.get(f"{first}conv_spatial.weight", state.get(f"{first}conv.weight", coefficients))
    inputs = 0 if weight is None else weight.shape[1]
    if inputs not in CHANNELS:
        raise InputError(f"core: expected 1, 3 or 5 input channels, got {inputs}; train it on frames and behavior")
    return CHANNELS[inputs]
