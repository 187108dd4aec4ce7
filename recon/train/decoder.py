"""`recon train decoder`: train a convolutional decoder on a recording and save its weights with a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from recon import config
from recon.encoders.runtime.precision import products
from recon.errors import InputError
from recon.errors.ranges import Seed
from recon.methods.artefacts import load_artefact
from recon.methods.base import validation_pairs
from recon.methods.neural.chunks import decoding_score
from recon.methods.neural.convolutional import Convolutional
from recon.methods.neural.weights_file import save_decoder
from recon.study.provenance import learning_time
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.task import Task
from recon.train.card import PYTHON, Command, identified, origin

Named = Mapping[str, Any]


@dataclass(frozen=True)
class DecoderTraining:
    """Configuration of `recon train decoder`: recording, encoders for distillation, method and output.

    `neurons`, `seed` and `artefacts` have the same meaning as in a benchmark: the decoder reads the *fit* neurons only.
    """

    recording: Path
    output: Path
    method: Named
    encoders: Mapping[str, Named]
    simulate: Named | None = None
    neurons: Named = field(default_factory=dict)
    seed: Seed = 0
    device: str = "auto"
    artefacts: Path = Path("runs/artefacts")


@products("float32")
def train_decoder(tree: Mapping[str, Any], *, command: Command = PYTHON) -> Path:
    """Train from a configuration and return the path of the weights; the card is saved next to them."""
    chosen = config.record(DecoderTraining, config.expand(tree), where="train")
    task = _task(chosen)
    method, training = task.method(), task.training()
    if not isinstance(method, Convolutional):
        raise InputError(f"method: expected a convolutional decoder, got {chosen.method['name']}; use recon benchmark")
    network, known = method.load()[0].to(training.device), validation_pairs(training)
    card = origin(chosen.output, identified(training.recording), command) | {
        "method": json.loads(json.dumps(dict(chosen.method), default=str)),
        "neurons": int(training.neurons.sum()),
        "seconds": round(learning_time(method), 1),
        "device": f"{task.bench.device}, {torch.get_num_threads()} threads",
        "validation_video_correlation_plus_ssim": round(decoding_score(network, known), 4),
    }
    learnt = load_artefact(method.artefact, method="convolutional")
    save_decoder(learnt, chosen.output, recording=training.recording, card=card)
    return chosen.output


def _task(chosen: DecoderTraining) -> Task:
    """Return a benchmark task with the method to be trained; its single clip is an oracle trial."""
    tree = {
        "run": "runs/train",
        "recording": str(chosen.recording),
        "simulate": chosen.simulate,
        "encoders": chosen.encoders,
        "neurons": chosen.neurons,
        "seed": chosen.seed,
        "device": chosen.device,
        "artefacts": str(chosen.artefacts),
        "clips": {"tier": "oracle", "count": 1},
        "rows": [{"label": chosen.output.stem, "method": chosen.method, "encoders": list(chosen.encoders)}],
    }
    settings = config.record(Settings, {key: value for key, value in tree.items() if value is not None}, where="train")
    bench = Bench(settings, plan(settings), progress=True)
    return Task(bench, bench.plans[0], bench.batches[0])
