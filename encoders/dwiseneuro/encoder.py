"""DwiseNeuro (Romul, winner of Sensorium 2023): depthwise-separable 3-D network in sliding windows over trials."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec, with_neurons
from recon.encoders.behavior import chosen_behavior
from recon.encoders.dwiseneuro.argus_files import read_published
from recon.encoders.dwiseneuro.folded import FoldedCore
from recon.encoders.dwiseneuro.network import NEURONS, DwiseNetwork, Subject, build_network, stacked
from recon.encoders.dwiseneuro.passes import Passes, Sums, in_passes
from recon.errors import InputError
from recon.files.paths import user_path
from recon.files.weights import check_tensors

FRAME_SIZE = (36, 64)
Checkpointing = Literal["auto", "always", "never"]
CPU_WINDOWS = 2
"""Windows per pass on a CPU: those of a 32-frame sub-clip. Larger passes are no faster."""
MOST_WINDOWS = 64
MEMORY_SHARE = 0.5
"""Share of a GPU's free memory that the initial number of windows may fill."""


class DwiseNeuro(Encoder):
    """One mouse's view of a published network; views share the core.

    rates(t) = mean of network(window) over all windows that contain frame t. A window holds 16 frames, every second of
    31; windows end at every frame from 30 to the last. Near a trial's ends frames lie in fewer windows, of one parity
    only; there is no temporal padding.

    `windows` is the number of windows per pass (0: by free memory). `checkpointing` recomputes each pass in the
    backward direction instead of storing its activations: "auto" does so if a trial needs several passes, which keeps
    memory constant; "never" is faster if memory allows. With `channels_last`, frozen weights are folded and run in
    channels-last layout; otherwise the published layers run unchanged.
    """

    padded_in_time = False

    def __init__(
        self,
        network: DwiseNetwork,
        index: int,
        *,
        windows: int = 0,
        checkpointing: Checkpointing = "auto",
        channels_last: bool = True,
        subject: Subject | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.windows = network.settings, windows
        self.checkpointing, self.channels_last = checkpointing, channels_last
        self.core, self.cortex, self.readout = network.core, network.cortex, network.readouts[index]
        reach = self.settings.span - 1
        self.named = subject is not None
        seen = subject or Subject("", tuple(range(self.settings.readout_outputs[index])))
        self.spec = Spec(
            FRAME_SIZE,
            seen.neuron_ids,
            seen.frame_rate,
            seen.degrees_per_pixel,
            context=(reach, reach),
            behavior=BEHAVIOR_CHANNELS,
            behavior_means=seen.behavior_means,
        )
        self._folded: tuple[tuple[tuple[int, int], ...], FoldedCore] | None = None
        self.train(network.training)

    @property
    def canvas(self) -> tuple[int, int]:
        """Canvas size; 64×64 as published."""
        return self.settings.canvas

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,1,T,36,64]`, or of canvas size `[B,1,T,64,64]`; T ≥ 31.

        Behavior is `[B,4,T]`, or already expanded to the canvas, `[B,4,T,64,64]`.
        """
        states = self._checked(movie, behavior)
        count = movie.shape[2] - self.settings.span + 1
        windows = self.windows or self._room(movie.device)
        run = min(count, windows)
        samples = max(1, windows // run)
        pairs = zip(torch.split(movie, samples), torch.split(states, samples), strict=True)
        whole = len(movie) <= samples and count <= run
        again = torch.is_grad_enabled() and {"auto": not whole, "always": True, "never": False}[self.checkpointing]
        parts = self._passes(movie.shape[2], run)
        sums: Sums = self._sums
        if again and any(parameter.requires_grad for parameter in self.parameters()):
            again, sums = False, partial(checkpoint, self._sums, use_reentrant=False)
        total = torch.cat([in_passes(sums, part, state, parts, again=again) for part, state in pairs])
        mean: Tensor = total / self._counts(movie.shape[2]).to(total)
        return mean

    def window(self, inputs: Tensor) -> Tensor:
        """Return rates `[B,N,16]` for stacked windows `[B,5,16,64,64]`: grey levels in 0–255 and raw behavior."""
        as_published = self._learning() or not self.channels_last
        features = self.core(inputs).mean((3, 4)) if as_published else self._frozen_core()(inputs)
        rates: Tensor = self.readout(self.cortex(features))
        return rates

    def stacked(self, movie: Tensor, behavior: Tensor) -> Tensor:
        """Return inputs `[B,5,T,64,64]`: the grey frame centred on its canvas; behavior channels expanded to it."""
        return stacked(movie, behavior, self.settings)

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> DwiseNeuro:
        """Assign the recording's neuron ids to the readout, because published files give only their number.

        Ids stored in the file take precedence.
        """
        spec = with_neurons(self.spec, neuron_ids)
        if not self.named:
            self.spec = spec
        return self

    def fewer_windows(self) -> bool:
        """Halve the number of windows per pass from now on; return False if it was already 1."""
        before = self.windows or self._room(next(self.readout.parameters()).device)
        self.windows = max(1, before // 2)
        return before > 1

    def _room(self, device: torch.device) -> int:
        if device.type != "cuda":
            return CPU_WINDOWS
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, min(MOST_WINDOWS, int(MEMORY_SHARE * free / self.settings.window_bytes)))

    def _learning(self) -> bool:
        return self.training or (torch.is_grad_enabled() and any(p.requires_grad for p in self.core.parameters()))

    def _frozen_core(self) -> FoldedCore:
        """Return the folded core for inversion, rebuilt if a weight changes value or device."""
        tensors = (*self.core.parameters(), *self.core.buffers())
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        if self._folded is None or self._folded[0] != state:
            self._folded = (state, FoldedCore(self.core))
        return self._folded[1]

    def _passes(self, frames: int, run: int) -> Passes:
        """Return the frame range of each pass over `run` windows, last pass first."""
        reach = self.settings.span - 1
        return [slice(start, min(start + run, frames - reach) + reach) for start in range(0, frames - reach, run)][::-1]

    def _sums(self, movie: Tensor, behavior: Tensor) -> Tensor:
        """Return `[B,N,T]`: for each frame, the sum over all windows within these frames."""
        inputs, settings = self.stacked(movie, behavior), self.settings
        windows = inputs.unfold(2, settings.span, 1)[..., :: settings.step].permute(0, 2, 1, 5, 3, 4)
        rates = self.window(windows.flatten(0, 1))
        rates = rates.reshape(*windows.shape[:2], *rates.shape[1:])
        total: Tensor = rates.new_zeros(len(movie), rates.shape[2], movie.shape[2])
        # Descending order, so that each frame sums its windows in temporal order.
        for frame in reversed(range(settings.frames)):
            place = frame * settings.step
            total[..., place : place + windows.shape[1]] += rates[..., frame].transpose(1, 2)
        return total

    def _counts(self, frames: int) -> Tensor:
        ones = torch.ones(frames - self.settings.span + 1)
        kernel = torch.zeros(self.settings.span)
        kernel[:: self.settings.step] = 1
        counts = functional.conv1d(ones[None, None], kernel[None, None], padding=self.settings.span - 1)
        return counts[0, 0].clamp_min(1)

    def _checked(self, movie: Tensor, behavior: Tensor | None) -> Tensor:
        size, span = tuple(movie.shape[3:]), self.settings.span
        if movie.ndim != 5 or movie.shape[1] != 1 or size not in (self.spec.frame_size, self.settings.canvas):
            raise InputError(
                f"movie: expected [B,1,T,H,W] with frames of {self.spec.frame_size} or {self.settings.canvas}, "
                f"got {tuple(movie.shape)}; resize it"
            )
        if movie.shape[2] < span:
            raise InputError(
                f"movie: expected at least {span} frames (one window), got {movie.shape[2]}; take a longer clip"
            )
        states = chosen_behavior(self.spec, behavior, movie.transpose(1, 2))
        if states is None or states.shape[2] != movie.shape[2] or len(states) != len(movie):
            raise InputError(
                f"behavior: expected {(len(movie), len(BEHAVIOR_CHANNELS), movie.shape[2])}, "
                f"got {None if states is None else tuple(states.shape)}; pass the movie's own"
            )
        return states.to(movie)


def load_dwiseneuro(
    weights: str | Path,
    mouse: str,
    *,
    windows: int = 0,
    checkpointing: Checkpointing = "auto",
    channels_last: bool = True,
) -> DwiseNeuro:
    """Return one mouse's view of a published or trained file, in evaluation mode; options as in `DwiseNeuro`."""
    path = user_path(weights)
    found = read_published(path)
    index = readout_index(mouse, found.settings.readout_outputs, tuple(subject.name for subject in found.subjects))
    unread = tuple(f"readouts.{other}." for other in range(len(found.settings.readout_outputs)) if other != index)
    check_tensors(path, {name: value for name, value in found.tensors.items() if not name.startswith(unread or "/")})
    return DwiseNeuro(
        build_network(found.settings, found.tensors, str(path)),
        index,
        windows=windows,
        checkpointing=checkpointing,
        channels_last=channels_last,
        subject=found.subjects[index] if found.subjects else None,
    )


def readout_index(mouse: str, outputs: tuple[int, ...], names: tuple[str, ...] = ()) -> int:
    """Return the index of a mouse's readout, by name (or its part before "-Video") or by number.

    `names` are those stored in the file. Published files store none; their mice are identified by the ten readouts'
    neuron counts.

    >>> readout_index("dynamic29156-11-10", tuple(NEURONS.values()))
    5
    """
    known = {name.partition("-Video")[0]: place for place, name in enumerate(names or NEURONS)}
    named = bool(names) or outputs == tuple(NEURONS.values())
    place = known.get(mouse.partition("-Video")[0], -1) if named else -1
    if place < 0 and mouse.isdecimal() and int(mouse) < len(outputs):
        place = int(mouse)
    if place < 0:
        of = "" if names else " for a file with these ten mice"
        raise InputError(
            f"mouse: expected one of {', '.join(known)}{of}, or a readout number 0–{len(outputs) - 1}, "
            f"got {mouse!r}; correct the name"
        )
    return place
