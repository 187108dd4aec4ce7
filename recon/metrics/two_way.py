"""Two-way identification of reconstructions by the features of a pretrained network, as published tables report it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from recon.correlation import mean_defined, pearson
from recon.metrics.networks import Network, loaded
from recon.metrics.perceptual import images_of

CHUNK = 8
"""Images per batch of a network: they are enlarged."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Colours of ImageNet, by which torchvision's networks normalise."""


@dataclass(frozen=True)
class Gallery:
    """The true movies `[C,T,H,W]` of all clips of a table at the scored frames, and the videos that they show.

    Clips may differ in length. A reconstruction is identified among its own clip and those of other videos.
    """

    movies: Sequence[Tensor]
    videos: Sequence[str]
    last: dict[str, tuple[Tensor, dict[str, Tensor]]] = field(default_factory=dict, init=False, repr=False)
    """Scores by layer of the movies last scored with a network: its layers share one pass."""

    def rivals(self, clip: int, frame: int) -> list[int]:
        """Return the clips of other videos that have a frame."""
        own = self.videos[clip]
        pairs = enumerate(zip(self.movies, self.videos, strict=True))
        return [i for i, (movie, video) in pairs if video != own and movie.shape[1] > frame]


@dataclass(frozen=True)
class TwoWay:
    """Two-way identification by one layer of a network; calling it gives the fraction `[B]` of comparisons won."""

    network: Network
    build: Callable[[Path], nn.Module]
    layer: str

    def __call__(
        self,
        reconstruction: Tensor,
        gallery: Gallery,
        clips: Sequence[int],
        *,
        pixel_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scores `[B]` of movies `[B,C,T,H,W]` of the gallery's `clips`; see `two_way_identification`."""
        known = gallery.last.get(self.network.file)
        if known is None or known[0] is not reconstruction:
            known = reconstruction, two_way_identification(self, reconstruction, gallery, clips, pixel_mask=pixel_mask)
            gallery.last[self.network.file] = known
        return known[1].get(self.layer, reconstruction.new_full((len(clips),), torch.nan))


@torch.no_grad()
def two_way_identification(
    by: TwoWay,
    reconstruction: Tensor,
    gallery: Gallery,
    clips: Sequence[int],
    *,
    pixel_mask: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return by layer the two-way identification `[B]` of movies `[B,C,T,H,W]` (Ozcelik & VanRullen 2023, MindEye).

    The fraction of other clips' frames whose features correlate less with the features of the reconstruction than those
    of its own true frame do: Pearson's r over all features of a layer, against every other clip of the table at the
    same frame number, mean over frames. Chance is 0.5; a tie counts as lost. Images are cut to
    the bounding box of the mask, grey outside it, repeated to three channels, resized so that the shorter side is as
    published (bilinear), and normalised by ImageNet's colours. NaN where no other clip has such a frame, or where the
    features of a reconstruction are constant.
    """
    if by.network.located() is None:
        return {}
    network, wins = loaded(by.network, by.build).to(reconstruction.device), dict[str, list[Tensor]]()
    for frame in range(reconstruction.shape[2]):
        there = [i for i, movie in enumerate(gallery.movies) if movie.shape[1] > frame]
        shown = torch.stack([gallery.movies[i][:, frame] for i in there]).to(reconstruction)
        pictures = torch.cat([reconstruction[:, :, frame], shown])[:, :, None]
        for layer, features in _features(network, pictures, pixel_mask, by.network.side).items():
            seen, known = torch.split(features, [len(clips), len(there)])
            similar = torch.stack([pearson(seen, one.expand_as(seen)) for one in known], 1)
            won = [
                _won(row, there, clip, gallery.rivals(clip, frame)) for row, clip in zip(similar, clips, strict=True)
            ]
            wins.setdefault(layer, []).append(torch.stack(won))
    return {layer: mean_defined(torch.stack(found, 1)).float() for layer, found in wins.items()}


def _won(similar: Tensor, there: Sequence[int], clip: int, rivals: Sequence[int]) -> Tensor:
    """Return the fraction `[]` of rivals less similar than the own frame, of similarities to the frames `there`."""
    own = similar[there.index(clip)]
    others = similar[[there.index(rival) for rival in rivals]]
    return torch.where(own.isnan(), torch.nan, (others < own).to(own.dtype).mean())


def _features(network: nn.Module, pictures: Tensor, pixel_mask: Tensor | None, side: int) -> dict[str, Tensor]:
    """Return the features `[N,D]` of pictures `[N,C,1,H,W]` by layer."""
    from torchvision.transforms.v2 import functional

    rows, columns = _box(pixel_mask, pictures)
    images = images_of(pictures, pixel_mask)[..., rows, columns]
    found: dict[str, list[Tensor]] = {}
    for chunk in torch.split(images, CHUNK):
        large = functional.resize(chunk, [side], interpolation=functional.InterpolationMode.BILINEAR)
        outputs = network(functional.normalize(large, list(MEAN), list(DEVIATION)))
        for layer, values in outputs.items():
            found.setdefault(layer, []).append(values.flatten(1))
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def _box(pixel_mask: Tensor | None, pictures: Tensor) -> tuple[slice, slice]:
    """Return the rows and columns of the bounding box of a mask; all without one."""
    if pixel_mask is None:
        return slice(0, pictures.shape[-2]), slice(0, pictures.shape[-1])
    rows, columns = (pixel_mask.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
