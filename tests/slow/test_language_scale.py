"""The readout of a whole mouse: 8,000 neurons, 20,000 samples, 384 numbers of text with four delays, five folds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FIT = """
import json, resource, sys, time
import torch
from recon.analysis.language.features import delayed
from recon.analysis.language.ridge import fit_readout

torch.set_num_threads(2)
generator = torch.Generator().manual_seed(0)
text = torch.randn(20_000, 384, generator=generator)
weights = torch.randn(384, 8_000, generator=generator)
responses = text @ weights
responses.mul_(0.2).add_(torch.randn(responses.shape, generator=generator), alpha=384**0.5)
clips = [sample // 40 for sample in range(20_000)]
start = time.perf_counter()
fit_readout(delayed(text, 4), responses[:, :4_000].contiguous(), clips)
half, start = time.perf_counter() - start, time.perf_counter()
readout = fit_readout(delayed(text, 4), responses, clips)
seconds = time.perf_counter() - start
aligned = float((readout.weights[:384] * weights).sum() / readout.weights[:384].norm() / weights.norm())
gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
sys.stdout.write(json.dumps({"seconds": seconds, "half": half, "gigabytes": gigabytes, "aligned": aligned}))
"""


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(1200)
def test_a_whole_mouse_is_fitted_in_four_gigabytes_and_in_time_that_grows_as_its_neurons() -> None:
    """Twice the neurons take at most twice as long; four times if every neuron looked at every other."""
    run = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    sys.stderr.write(f"{found}\n")
    assert found["aligned"] > 0.8  # noise leaves (1 + (384 / 20,000) / 0.2²)^-½ = 0.82
    assert found["gigabytes"] <= 4
    assert found["seconds"] <= 3 * found["half"]
