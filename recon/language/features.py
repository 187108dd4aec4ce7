"""What was said, over time: embeddings of captions in bins of a trial, with delays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from priors.text import TextEncoder
from recon.artefacts import artefact_path, load_artefact, save_artefact
from recon.language.tables import Said


def embeddings(texts: Sequence[str], source: str, folder: Path) -> dict[str, Tensor]:
    """Return the embedding `[D]` of every distinct text by the text encoder of a name, kept in a folder by content."""
    distinct = sorted(set(texts))
    listed = hashlib.sha256(json.dumps(distinct).encode()).hexdigest()
    path = artefact_path(folder, "text", [source, listed])
    if not path.exists():
        save_artefact({"embeddings": TextEncoder(source)(distinct)}, path)
    known = load_artefact(path, method="text")["embeddings"]
    return dict(zip(distinct, known, strict=True))


def spoken(said: Sequence[Said], known: Mapping[str, Tensor], *, frames: int) -> Tensor:
    """Return the embedding `[T,D]` of what is said in every frame of a trial; zero where nothing is said."""
    width = len(next(iter(known.values())))
    over_time = torch.zeros(frames, width)
    for caption in said:
        over_time[caption.first : caption.end] = known[caption.text]
    return over_time


def binned(series: Tensor, size: int) -> Tensor:
    """Return the means `[T//size,...]` of bins of `size` frames of a series `[T,...]`; frames that fill none are cut.

    >>> binned(torch.arange(5.0), 2).tolist()
    [0.5, 2.5]
    """
    bins = len(series) // size
    return series[: bins * size].reshape(bins, size, *series.shape[1:]).mean(1)


def delayed(features: Tensor, delays: int) -> Tensor:
    """Return features `[B,D]` beside themselves 1 … `delays` − 1 bins before `[B,delays·D]`; zero before the start.

    >>> delayed(torch.tensor([[1.0], [2.0], [3.0]]), 2).tolist()
    [[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]]
    """
    late = [functional.pad(features, (0, 0, delay, 0))[: len(features)] for delay in range(delays)]
    return torch.cat(late, 1)
