"""Receptive fields of an encoder's model neurons by sparse-noise mapping.

Sparse noise (bright and dark squares on grey) is shown to the frozen encoder. The predicted rate is correlated with the
presence of a square of either sign, so that complex cells are mapped too (Jones & Palmer 1987; Niell & Stryker
2008). A Gaussian is fitted to each map.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from recon import config
from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, device_of, freeze, resolve_device
from recon.errors.ranges import Count, Part, Seed, Whole
from recon.files import write_bytes

Progress = Callable[[Iterable[int]], Iterable[int]]
Array = NDArray[np.float64]
PIXEL = 14
"""Side of a frame pixel in the picture."""


@dataclass(frozen=True)
class FieldMapping:
    """Configuration of `recon map fields`: encoder, sparse noise, and output file (.npz; the picture is a .png).

    Squares have a side of `square` pixels and last `hold` frames; a fraction `density` of them is shown at once. The
    grid shifts by random pixels between presentations, so that maps have pixel resolution. `frames` are shown in movies
    of `clip` frames; rates are correlated with stimuli up to `lags` frames earlier.
    """

    encoder: Mapping[str, Any]
    output: Path
    frames: Count = 12000
    clip: Count = 300
    square: Count = 5
    hold: Count = 4
    density: Part = 0.06
    lags: Whole = 10
    seed: Seed = 0
    device: str = "auto"


@dataclass(frozen=True)
class Fields:
    """Gaussian fits per neuron: centre (row, column), standard deviation, and the `share` of variance explained."""

    maps: Array
    centre: Array
    deviation: Array
    share: Array


def map_fields(tree: Mapping[str, Any], *, progress: Progress = iter) -> tuple[Path, Path]:
    """Map the receptive fields of a configuration's encoder; write arrays and a picture, and return their paths."""
    chosen = config.record(FieldMapping, tree, where="fields")
    device = resolve_device(chosen.device)
    encoder: Encoder = config.build("encoder", chosen.encoder, where="encoder")
    fields = receptive_fields(freeze(encoder).to(device), chosen, progress=progress)
    content = io.BytesIO()
    np.savez_compressed(content, **vars(fields), neuron_ids=np.array(encoder.spec.neuron_ids))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(chosen.output, content.getvalue())
    picture = io.BytesIO()
    _picture(fields).save(picture, "png")
    write_bytes(chosen.output.with_suffix(".png"), picture.getvalue())
    return chosen.output, chosen.output.with_suffix(".png")


@torch.no_grad()
def receptive_fields(encoder: Encoder, chosen: FieldMapping, *, progress: Progress = iter) -> Fields:
    """Return receptive-field maps `[N,H,W]` and their Gaussian fits.

    A map is the covariance of the predicted rate with the presence of a square, at the lag of greatest spatial
    variance, divided by the standard deviation of the rate.
    """
    generator = torch.Generator().manual_seed(chosen.seed)
    device = device_of(encoder)
    sums: dict[str, Tensor] = {}
    for _ in progress(range(max(1, chosen.frames // chosen.clip))):
        signs = sparse_noise(encoder.spec.frame_size, chosen, generator)
        movie = (0.5 + 0.5 * signs)[None, None].to(device)
        rates = encoder(movie, _behavior_at_rest(encoder, chosen.clip, device))[0].cpu().double()
        for name, value in _moments(rates, signs.abs().double().flatten(1), chosen).items():
            sums[name] = sums.get(name, torch.zeros(())) + value
    return fitted_fields(_maps(sums, encoder.spec.frame_size))


def sparse_noise(size: tuple[int, int], chosen: FieldMapping, generator: torch.Generator) -> Tensor:
    """Return one movie of signs `[T,H,W]`: 1 for a bright square, −1 for a dark one, 0 elsewhere."""
    shown = []
    square, rows, columns = chosen.square, *(side // chosen.square + 2 for side in size)
    for _ in range(-(-chosen.clip // chosen.hold)):
        present = torch.rand(rows, columns, generator=generator) < chosen.density
        signs = present * (2 * (torch.rand(rows, columns, generator=generator) < 0.5).float() - 1)
        wide = signs.repeat_interleave(square, 0).repeat_interleave(square, 1)
        top, left = torch.randint(square, (2,), generator=generator).tolist()
        shown.append(wide[top : top + size[0], left : left + size[1]])
    return torch.stack(shown).repeat_interleave(chosen.hold, 0)[: chosen.clip]


def fitted_fields(maps: Array) -> Fields:
    """Return maps `[N,H,W]` with least-squares Gaussian fits; NaN for constant maps and fits that do not converge."""
    from scipy.optimize import curve_fit

    count, height, width = maps.shape
    grid = np.stack([axis.ravel() for axis in np.mgrid[:height, :width].astype(float)])
    centre, deviation, share = np.full((count, 2), np.nan), np.full((count, 2), np.nan), np.full(count, np.nan)
    bounds = ([0, -1, -1, 0.5, 0.5, -np.inf], [np.inf, height, width, height, width, np.inf])
    for index, values in enumerate(maps.reshape(count, -1)):
        if not values.std() > 0:
            continue
        row, column = divmod(int(values.argmax()), width)
        start = [np.ptp(values), row, column, height / 8, height / 8, float(np.median(values))]
        try:
            found, _ = curve_fit(_gaussian, grid, values, p0=start, bounds=bounds, max_nfev=300)
        except RuntimeError:
            continue
        centre[index], deviation[index] = found[1:3], found[3:5]
        share[index] = 1 - (values - _gaussian(grid, *found)).var() / values.var()
    return Fields(maps, centre, deviation, share)


def _gaussian(grid: Array, *parameters: float) -> Array:
    height, row, column, tall, wide, base = parameters
    values: Array = base + height * np.exp(-0.5 * (((grid[0] - row) / tall) ** 2 + ((grid[1] - column) / wide) ** 2))
    return values


def _moments(rates: Tensor, presence: Tensor, chosen: FieldMapping) -> dict[str, Tensor]:
    """Return sums over frames of rates, squared rates, presence, and rates × presence at each lag."""
    first = chosen.lags
    seen = rates[:, first:]
    past = [presence[first - lag : len(presence) - lag] for lag in range(chosen.lags + 1)]
    return {
        "count": torch.tensor(float(seen.shape[1])),
        "rates": seen.sum(1),
        "squares": seen.square().sum(1),
        "presence": torch.stack([part.sum(0) for part in past]),
        "products": torch.stack([seen @ part for part in past]),
    }


def _maps(sums: Mapping[str, Tensor], size: tuple[int, int]) -> Array:
    count, mean = sums["count"], sums["rates"] / sums["count"]
    covariance = sums["products"] / count - mean[None, :, None] * (sums["presence"] / count)[:, None]
    deviation = (sums["squares"] / count - mean.square()).clamp_min(0).sqrt()
    strongest = covariance.var(2).argmax(0)
    chosen = covariance[strongest, torch.arange(len(mean))]
    maps: Array = torch.where(deviation[:, None] > 0, chosen / deviation[:, None], 0.0).reshape(-1, *size).numpy()
    return maps


def _behavior_at_rest(encoder: Encoder, frames: int, device: torch.device) -> Tensor | None:
    """Return zero behavior (an animal at rest) for encoders that need behavior."""
    return torch.zeros(1, len(BEHAVIOR_CHANNELS), frames, device=device) if encoder.spec.behavior else None


def _picture(fields: Fields) -> Image.Image:
    """Draw the mean map with the fitted centres, yellow where the fit explains at least half of the variance."""
    mean = np.abs(fields.maps).mean(0)
    grey = (110 * mean / max(mean.max(), 1e-12)).astype(np.uint8)
    height, width = grey.shape
    image = Image.fromarray(grey).resize((width * PIXEL, height * PIXEL), Image.Resampling.NEAREST).convert("RGB")
    draw = ImageDraw.Draw(image)
    for (row, column), share in zip(fields.centre, fields.share, strict=True):
        if np.isfinite(share):
            x, y = (column + 0.5) * PIXEL, (row + 0.5) * PIXEL
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), outline=(253, 231, 37) if share >= 0.5 else (120, 120, 220))
    return image
