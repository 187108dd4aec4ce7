"""DwiseNeuro (Romul, winner of Sensorium 2023): depthwise-separable 3-D network, whole trials by a sliding window."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec, with_neurons
from recon.encoders.dwiseneuro.argus_files import read_published
from recon.encoders.dwiseneuro.folded import FoldedCore
from recon.encoders.dwiseneuro.network import NEURONS, DwiseNetwork, Subject, build_network, stacked
from recon.encoders.dwiseneuro.passes import Passes, Sums, in_passes
from recon.encoders.wrap import chosen_behavior
from recon.errors import InputError

FRAME_SIZE = (36, 64)
Checkpointing = Literal["auto", "always", "never"]
CPU_WINDOWS = 2
"""As many as a sub-clip of 32 frames has, which is then computed once; more at once are no faster on a CPU."""
MOST_WINDOWS = 64
MEMORY_SHARE = 0.5
"""Share of a GPU's free memory that windows may fill at first."""


class DwiseNeuro(Encoder):
    """One mouse's view of a published network; views share the core.

    rates(t) = mean over the windows that hold frame t of network(window); a window is 16 frames, every second of 31,
    and ends at every index from 30 to the last. Frames near a trial's ends lie in fewer windows and in windows of
    one parity only; nothing is padded in time. `windows` bounds how many run at once (0: as memory allows). With
    `checkpointing` a pass keeps only its inputs and is computed again on the way back: "auto" where a trial has more
    windows than run at once, so that memory stays flat; "never" is faster while memory lasts. With `channels_last`
    frozen weights are folded and run channels last; without, the published layers run as they are.
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
        )
        self._folded: tuple[tuple[tuple[int, int], ...], FoldedCore] | None = None
        self.train(network.training)

    @property
    def canvas(self) -> tuple[int, int]:
        """Size of the canvas, as published 64×64."""
        return self.settings.canvas

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` of a movie `[B,1,T,36,64]`, or of a whole canvas `[B,1,T,64,64]`; T ≥ 31.

        Behavior is `[B,4,T]`, or `[B,4,T,64,64]` where each of its values fills the canvas already.
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
        """Return rates `[B,N,16]` of windows that are stacked already, `[B,5,16,64,64]` in 0–255 and raw behavior."""
        as_published = self._learning() or not self.channels_last
        features = self.core(inputs).mean((3, 4)) if as_published else self._frozen_core()(inputs)
        rates: Tensor = self.readout(self.cortex(features))
        return rates

    def stacked(self, movie: Tensor, behavior: Tensor) -> Tensor:
        """Return inputs `[B,5,T,64,64]`: grey frame on its canvas, and each behavior channel over the whole of it."""
        return stacked(movie, behavior, self.settings)

    def for_neurons(self, neuron_ids: tuple[int, ...]) -> DwiseNeuro:
        """Say which recorded neurons the readout's places are: published files count them, but do not name them.

        Neurons that the file names keep their names.
        """
        spec = with_neurons(self.spec, neuron_ids)
        if not self.named:
            self.spec = spec
        return self

    def fewer_windows(self) -> bool:
        """Run half as many windows at once from now on; return False where it is one already."""
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
        """Return the core for inverting it; made anew when a weight has changed or moved."""
        tensors = (*self.core.parameters(), *self.core.buffers())
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        if self._folded is None or self._folded[0] != state:
            self._folded = (state, FoldedCore(self.core))
        return self._folded[1]

    def _passes(self, frames: int, run: int) -> Passes:
        """Return the frames of each pass over `run` windows, the last first."""
        reach = self.settings.span - 1
        return [slice(start, min(start + run, frames - reach) + reach) for start in range(0, frames - reach, run)][::-1]

    def _sums(self, movie: Tensor, behavior: Tensor) -> Tensor:
        """Return `[B,N,T]`: per frame the sum over all windows in these frames."""
        inputs, settings = self.stacked(movie, behavior), self.settings
        windows = inputs.unfold(2, settings.span, 1)[..., :: settings.step].permute(0, 2, 1, 5, 3, 4)
        rates = self.window(windows.flatten(0, 1))
        rates = rates.reshape(*windows.shape[:2], *rates.shape[1:])
        total: Tensor = rates.new_zeros(len(movie), rates.shape[2], movie.shape[2])
        # From the last frame of a window to its first, so that each frame adds its windows in their order.
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
                f"movie: expected {span} frames or more, one window, got {movie.shape[2]}; take a longer clip"
            )
        states = chosen_behavior(self.spec, behavior)
        if states is None or states.shape[2] != movie.shape[2] or len(states) != len(movie):
            raise InputError(
                f"behavior: expected {(len(movie), len(BEHAVIOR_CHANNELS), movie.shape[2])}, "
                f"got {None if states is None else tuple(states.shape)}; give the movie's own"
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
    """Return one mouse's view of a published or trained file, in evaluation mode; settings as of `DwiseNeuro`."""
    path = Path(weights)
    found = read_published(path)
    index = readout_index(mouse, found.settings.readout_outputs, tuple(subject.name for subject in found.subjects))
    return DwiseNeuro(
        build_network(found.settings, found.tensors, str(path)),
        index,
        windows=windows,
        checkpointing=checkpointing,
        channels_last=channels_last,
        subject=found.subjects[index] if found.subjects else None,
    )


def readout_index(mouse: str, outputs: tuple[int, ...], names: tuple[str, ...] = ()) -> int:
    """Return the readout of a mouse, by its name (or the part before "-Video"), or by its place.

    The `names` are those in the file; a published file has none: it is of the ten mice where their numbers of neurons
    say so.

    >>> readout_index("dynamic29156-11-10", tuple(NEURONS.values()))
    5
    """
    known = {name.partition("-Video")[0]: place for place, name in enumerate(names or NEURONS)}
    named = bool(names) or outputs == tuple(NEURONS.values())
    place = known.get(mouse.partition("-Video")[0], -1) if named else -1
    if place < 0 and mouse.isdecimal() and int(mouse) < len(outputs):
        place = int(mouse)
    if place < 0:
        of = "" if names else " with a file of these ten"
        raise InputError(
            f"mouse: expected one of {', '.join(known)}{of}, or a place 0–{len(outputs) - 1}, "
            f"got {mouse!r}; correct the name"
        )
    return place
