"""Another laboratory's network, its adapter and its factories, written as modules that a test imports."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recon.config import registry
from recon.files import code_version

THEIRS = '''
"""Their network: movies of 0-255 in, rates (batch, time, neurons) out, without the first frames."""
import torch
from torch import nn

class TheirNet(nn.Module):
    def __init__(self, n_neurons, height, width, n_lags=3):
        super().__init__()
        self.core_conv = nn.Conv3d(1, 4, (n_lags, 5, 5), stride=(1, 3, 3))
        self.core_norm = nn.BatchNorm3d(4)
        self.drop = nn.Dropout(0.5)
        self.readout = nn.Linear(4 * ((height - 2) // 3) * ((width - 2) // 3), n_neurons)

    def forward(self, clip):
        clip = (clip - 117.0) / 52.0
        features = torch.relu(self.core_norm(self.core_conv(clip)))
        return nn.functional.softplus(self.readout(self.drop(features.permute(0, 2, 1, 3, 4).flatten(2))))
'''
OURS = '''
"""Encoders and methods of my laboratory."""
from dataclasses import dataclass

import torch
from torch import nn

from recon.encoders import Encoder, Spec, wrap
from recon.methods import Mean
from recon.priors import GaussianPrior, Prior
from {theirs} import TheirNet

class Adapter(nn.Module):
    def __init__(self, net, lags, gain):
        super().__init__()
        self.net, self.lags, self.gain = net, lags, gain

    def forward(self, movie):
        start = movie[:, :, :1].expand(-1, -1, self.lags - 1, -1, -1)
        return self.gain * self.net(255 * torch.cat([start, movie], 2)).transpose(1, 2)

def build(neurons: int, size: tuple[int, int] = (16, 24), *, lags: int = 3, gain: float = 1.0) -> Encoder:
    """The network of their laboratory, for the neurons of one recording."""
    spec = Spec(size, tuple(range(neurons)), frame_rate=30.0, degrees_per_pixel=4.0, context=(lags - 1, 0))
    torch.manual_seed(0)
    return wrap(Adapter(TheirNet(neurons, *size, n_lags=lags), lags, gain), spec, in_recording_order=True)

def pair(**settings) -> tuple[nn.Module, Spec]:
    """The network and its Spec."""
    made = build(**settings)
    return made.module, made.spec

def careless(neurons):
    """A function that says nothing about what it returns."""
    raise SystemExit("it was called")

def average() -> Mean:
    """The mean frame of their laboratory."""
    return Mean()

def smooth() -> Prior:
    """The Gaussian prior of their laboratory."""
    return GaussianPrior()

def wrong(neurons: int) -> Encoder:
    """A factory that does not keep its word."""
    return neurons

answer = 42
'''


def write_labs(folder: Path, name: str) -> Path:
    """Write `NAME.py`, with factories, and `their_NAME.py` into a folder; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"their_{name}.py").write_text(THEIRS)
    (folder / f"{name}.py").write_text(OURS.replace("{theirs}", f"their_{name}"))
    return folder


def forget_code() -> None:
    """Forget which code and which packages were found, as a new process would."""
    for module in (code_version, registry):
        for thing in vars(module).values():
            if callable(clear := getattr(thing, "cache_clear", None)):
                clear()
    importlib.invalidate_caches()


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Find modules and packages in a folder within the block, and forget them afterwards."""
    before = {*sys.modules}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        forget_code()
        try:
            yield
        finally:
            for name in {*sys.modules} - before:
                if str(folder) in (getattr(sys.modules[name], "__file__", None) or ""):
                    del sys.modules[name]
    forget_code()
