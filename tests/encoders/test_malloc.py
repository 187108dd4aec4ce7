"""Freed memory is retained on request; DwiseNeuro's memory settings change no result."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import torch
from worlds import bauer as bauer_worlds

from recon.encoders.base import freeze
from recon.encoders.dwiseneuro import encoder as inversion
from recon.encoders.dwiseneuro.encoder import CPU_WINDOWS, Checkpointing, DwiseNeuro
from recon.encoders.dwiseneuro.folded import FoldedCore
from recon.encoders.dwiseneuro.network import DwiseNetwork, DwiseSettings
from recon.encoders.runtime import malloc as allocation

FAULTS = """
import resource, sys, torch
from recon.encoders.runtime.malloc import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else True
for _ in range(4):
    torch.ones(2**24)  # The second or third finds room that is aligned; from then on nothing is mapped.
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(2**24)
sys.stdout.write(f"{int(kept)} {resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before}")
"""


def faults(word: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    return kept == "1", int(count)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_tensors_are_not_mapped_anew() -> None:
    kept, few = faults("keep")
    pages = 8 * 2**26 // resource.getpagesize()
    if not kept:
        pytest.skip("this C library has no such setting")
    # Depending on alignment the heap grows once more.
    assert few < pages / 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: object) -> object:
        return object()

    monkeypatch.setattr(allocation.ctypes, "CDLL", none)
    assert not allocation.keep_freed_memory()


def encoder(*, windows: int = 0, checkpointing: Checkpointing = "auto", channels_last: bool = True) -> DwiseNeuro:
    network = DwiseNetwork(DwiseSettings(**bauer_worlds.NARROW))
    state = bauer_worlds.narrow_encoder()
    network.core.load_state_dict(state.core.state_dict())
    network.cortex.load_state_dict(state.cortex.state_dict())
    network.readouts[1].load_state_dict(state.readout.state_dict())
    made = DwiseNeuro(network.eval(), 1, windows=windows, checkpointing=checkpointing, channels_last=channels_last)
    freeze(made)
    return made


def shown(made: DwiseNeuro, monkeypatch: pytest.MonkeyPatch, frames: int) -> tuple[torch.Tensor, int]:
    """Return the gradient of a clip, and the number of passes over windows."""
    passes: list[int] = []
    window = made.window
    monkeypatch.setattr(made, "window", lambda inputs: (passes.append(len(inputs)), window(inputs))[1])
    movie = torch.rand(1, 1, frames, 36, 64, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    behavior = bauer_worlds.World(frames, 1).behavior[None]
    return torch.autograd.grad((made(movie, behavior) ** 2).sum(), movie)[0], len(passes)


@pytest.mark.parametrize(
    ("checkpointing", "frames", "passes"),
    [("auto", 32, 1), ("always", 32, 2), ("never", 32, 1), ("auto", 34, 4), ("always", 34, 4), ("never", 34, 2)],
)
def test_checkpointing_computes_again_and_changes_nothing(
    checkpointing: Checkpointing, frames: int, passes: int, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CPU_WINDOWS == 2
    expected, _ = shown(encoder(), monkeypatch, frames)
    gradient, counted = shown(encoder(checkpointing=checkpointing), monkeypatch, frames)
    assert counted == passes and torch.equal(gradient, expected)


def test_published_layers_give_what_folded_ones_give(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[object] = []
    monkeypatch.setattr(inversion, "FoldedCore", lambda core: (folded.append(core), FoldedCore(core))[1])
    expected, _ = shown(encoder(), monkeypatch, 33)
    assert len(folded) == 1
    gradient, _ = shown(encoder(channels_last=False), monkeypatch, 33)
    assert len(folded) == 1
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_windows_are_halved_down_to_one() -> None:
    made = encoder()
    assert made.fewer_windows() and made.windows == 1
    assert not made.fewer_windows()
