"""Caption embeddings over time: in bins of a trial, with delays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import reduce
from torch import Tensor
from torch.nn import functional

from recon.data.caption_tables import Said
from recon.files.sealed import whole
from recon.methods.artefacts import artefact_path, load_artefact, save_artefact
from recon.methods.named_files import content_named_in
from recon.priors.text import TextEncoder


def embeddings(texts: Sequence[str], source: str, folder: Path) -> dict[str, Tensor]:
    """Return the embedding `[D]` of every distinct text by the named text encoder, cached in `folder` by content."""
    distinct = sorted(set(texts))
    listed = hashlib.sha256(json.dumps(distinct).encode()).hexdigest()
    files = content_named_in(source)
    path = artefact_path(folder, "text", [source, listed, *files], code=[TextEncoder.__module__])
    if not whole(path):
        save_artefact({"embeddings": TextEncoder(source)(distinct)}, path)
    known = load_artefact(path, method="text")["embeddings"]
    return dict(zip(distinct, known, strict=True))


def spoken(said: Sequence[Said], known: Mapping[str, Tensor], *, frames: int) -> Tensor:
    """Return the caption embedding `[T,D]` in every frame of a trial; zero in frames without a caption."""
    width = len(next(iter(known.values())))
    over_time = torch.zeros(frames, width)
    for caption in said:
        over_time[caption.first : caption.end] = known[caption.text]
    return over_time


def binned(series: Tensor, size: int) -> Tensor:
    """Return the means `[T//size,...]` of a series `[T,...]` in bins of `size` frames; an incomplete bin is dropped.

    >>> binned(torch.arange(5.0), 2).tolist()
    [0.5, 2.5]
    """
    bins = len(series) // size
    return reduce(series[: bins * size], "(bin t) ... -> bin ...", "mean", t=size)


def delayed(features: Tensor, delays: int) -> Tensor:
    """Return features `[B,D]` concatenated with copies delayed by 1 to `delays` − 1 bins `[B,delays·D]`; zero-padded.

    >>> delayed(torch.tensor([[1.0], [2.0], [3.0]]), 2).tolist()
    [[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]]
    """
    late = [functional.pad(features, (0, 0, delay, 0))[: len(features)] for delay in range(delays)]
    return torch.cat(late, 1)


@dataclass(frozen=True)
class Components:
    """Principal components of features `[D]`: mean, units and axes `[D,P]`."""

    centre: Tensor
    units: Tensor
    axes: Tensor

    @classmethod
    def of(cls, samples: Tensor, components: int, *, alike: bool) -> Components:
        """Return up to `components` principal components of samples `[S,D]`.

        With `alike` features are first scaled to unit variance. Total variance is scaled to 1 per component, so that
        penalties do not depend on the units.
        """
        x = samples.double()
        centre, deviation = x.mean(0), x.std(0)
        units = (
            torch.where(deviation > 1e-9 * deviation.max(), deviation, torch.inf)
            if alike
            else torch.ones_like(deviation)
        )
        values, axes = torch.linalg.eigh(((x - centre) / units).T.cov())
        kept = values.flip(0)[:components].clamp_min(0).sum()
        axes = axes.flip(1)[:, :components]
        return cls(centre, units, axes * (axes.shape[1] / kept).sqrt() if kept > 0 else torch.zeros_like(axes))

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the components `[…,P]` of samples `[…,D]`."""
        return (((samples - self.centre) / self.units) @ self.axes).float()


def principal(
    series: Mapping[int, Tensor], learnt: Sequence[int], components: int, *, alike: bool
) -> dict[int, Tensor]:
    """Return principal components `[B,P]` of series `[B,D]` by trial, fitted to the trials `learnt`."""
    found = Components.of(torch.cat([series[trial] for trial in learnt]), components, alike=alike)
    return {trial: found(one) for trial, one in series.items()}
