"""Parameters of the simulated population: receptive fields, tuning and modulation of mouse V1 cells."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError
from recon.simulate.scenes import ATTRIBUTES
from recon.simulate.settings import SimulationSettings
from recon.simulate.textures import TEXTURES

Array = NDArray[np.float64]

SIMPLE, COMPLEX, LUMINANCE = 0, 1, 2
LOW_LEVEL, MIXED, SEMANTIC = 0, 1, 2
MADE_OF = 0.8
"""Standard deviation of a semantic neuron's weights on textures, relative to all other attributes."""
PLANES = 10
PATCH = 1000.0
"""Side of the imaged cortical patch in µm; receptive-field centres vary linearly with cortical position."""


@dataclass(frozen=True)
class Cells:
    """Parameters per neuron `[N]` (`weights` `[N,A]`, `position` `[N,3]`), saved with the recording as ground truth.

    `centre_x`, `centre_y` (degrees from the screen centre, y down), `radius` (standard deviation of the Gaussian
    envelope, degrees), `aspect`, `spatial_frequency` (cycles/°), `temporal_frequency` (Hz), `direction` (radians,
    anticlockwise from right), `phase`, `selectivity` (direction selectivity, 0–1), `latency` (seconds to the kernel's
    peak), `kind` (0 simple, 1 complex, 2 luminance), `sign` (1 ON, −1 OFF), `threshold`, `exponent`, `baseline`
    (fraction of the mean rate), `rate` (relative mean rate), `running_gain`, `pupil_gain`, `amplitude` (response units
    per spike), `role` (0 low-level, 1 mixed, 2 semantic), `weights` on scene attributes, `position` (µm), `plane`.
    """

    centre_x: Array
    centre_y: Array
    radius: Array
    aspect: Array
    spatial_frequency: Array
    temporal_frequency: Array
    direction: Array
    phase: Array
    selectivity: Array
    latency: Array
    kind: NDArray[np.int64]
    sign: Array
    threshold: Array
    exponent: Array
    baseline: Array
    rate: Array
    running_gain: Array
    pupil_gain: Array
    amplitude: Array
    role: NDArray[np.int64]
    weights: Array
    position: Array
    plane: NDArray[np.int64]

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def plant_cells(settings: SimulationSettings) -> Cells:
    """Draw the population of the settings; each parameter has its own random stream over neurons."""
    return Cells(**_optics(settings), **_rates(settings), **_roles(settings))


def planted(folder: Path) -> Cells:
    """Load the population of a simulated recording from the ground truth in its folder.

    Raises InputError if the recording is not simulated.
    """
    truth = folder / "meta/truth"
    if not truth.is_dir():
        raise InputError(f"{folder}: expected a simulated recording, got one without {truth}; simulate one")
    return Cells(**{entry.name: np.load(truth / f"{entry.name}.npy") for entry in fields(Cells)})


def _stream(settings: SimulationSettings, name: str) -> np.random.Generator:
    return np.random.default_rng([settings.seed, 11, zlib.crc32(name.encode())])


def _uniform(settings: SimulationSettings, name: str, low: float, high: float) -> Array:
    return _stream(settings, name).uniform(low, high, settings.neurons)


def _normal(settings: SimulationSettings, name: str) -> Array:
    return _stream(settings, name).standard_normal(settings.neurons)


def _optics(settings: SimulationSettings) -> dict[str, NDArray[Any]]:
    """Draw receptive fields and tuning after Niell & Stryker 2008: diameters 5–20°, 0.02–0.16 cycles/°, 0.5–4 Hz."""
    kind_draw = _uniform(settings, "kind", 0, 1)
    kind = np.where(kind_draw < 0.14, LUMINANCE, np.where(kind_draw < 0.6, SIMPLE, COMPLEX))
    frequency = np.clip(0.045 * np.exp(0.6 * _normal(settings, "spatial_frequency")), 0.02, 0.16)
    cycles = _uniform(settings, "cycles", 0.2, 0.5)
    flat = kind == LUMINANCE
    centre, position = _retinotopy(settings)
    wide = _uniform(settings, "luminance_radius", 3.0, 10.0)
    return {
        "centre_x": centre[:, 0],
        "centre_y": centre[:, 1],
        "position": position,
        "plane": _plane(settings),
        "kind": kind,
        "spatial_frequency": np.where(flat, 0.0, frequency),
        "radius": np.where(flat, wide, np.clip(cycles / frequency, 2.5, 10.0)),
        "aspect": _uniform(settings, "aspect", 0.8, 1.5),
        "temporal_frequency": np.clip(1.7 * np.exp(0.6 * _normal(settings, "temporal_frequency")), 0.5, 4.0),
        "direction": _directions(settings),
        "phase": _uniform(settings, "phase", 0, 2 * np.pi),
        "selectivity": np.where(flat, 0.0, np.sqrt(_uniform(settings, "selectivity", 0, 1))),
        "latency": _uniform(settings, "latency", 0.06, 0.13),
        "sign": np.where(_uniform(settings, "sign", 0, 1) < 0.45, 1.0, -1.0),
    }


def _retinotopy(settings: SimulationSettings) -> tuple[Array, Array]:
    """Draw receptive-field centres `[N,2]` in degrees and cortical positions `[N,3]` in µm.

    The screen is divided into one column per imaging patch; centres are uniform over a rectangle in each column.
    Cortical position is linear in the centre, with scatter; patch centres are 1.5 patch widths apart.
    """
    screen = np.array(settings.frame_size[::-1]) * settings.degrees_per_pixel
    side, patches = np.sqrt(settings.coverage), settings.patches
    offsets = _stream(settings, "coverage").uniform(-0.5, 0.5, (patches, 2)) * (1 - side)
    patch = _stream(settings, "patch").integers(0, patches, settings.neurons)
    column = np.column_stack([patch - (patches - 1) / 2, np.zeros(settings.neurons)])
    share = _stream(settings, "centre").uniform(-0.5, 0.5, (settings.neurons, 2))
    scatter = _stream(settings, "scatter").normal(0, 40.0, (settings.neurons, 2))
    depth = 150.0 + 25.0 * _plane(settings) + _stream(settings, "depth").normal(0, 2.0, settings.neurons)
    centre = (share * side + offsets[patch] + column) * screen / [patches, 1]
    return centre, np.column_stack([(share + 1.5 * column) * PATCH + scatter, depth])


def _plane(settings: SimulationSettings) -> NDArray[np.int64]:
    return _stream(settings, "plane").integers(0, PLANES, settings.neurons)


def _directions(settings: SimulationSettings) -> Array:
    """Draw preferred directions: uniform, but 40 % of the cells close to a cardinal direction."""
    anywhere = _uniform(settings, "direction", -np.pi, np.pi)
    cardinal = np.round(anywhere / (np.pi / 2)) * np.pi / 2 + 0.2 * _normal(settings, "cardinal")
    return np.where(_uniform(settings, "cardinality", 0, 1) < 0.4, cardinal, anywhere)


def _rates(settings: SimulationSettings) -> dict[str, NDArray[Any]]:
    return {
        "threshold": _uniform(settings, "threshold", 0.1, 0.7),
        "exponent": _uniform(settings, "exponent", 1.2, 2.0),
        "baseline": _uniform(settings, "baseline", 0.05, 0.25),
        "rate": np.exp(0.6 * _normal(settings, "rate")),
        "running_gain": 0.12 + 0.15 * _normal(settings, "running_gain"),
        "pupil_gain": 0.08 + 0.1 * _normal(settings, "pupil_gain"),
        "amplitude": 10.0 * np.exp(0.4 * _normal(settings, "amplitude")),
    }


def _roles(settings: SimulationSettings) -> dict[str, NDArray[Any]]:
    draw = _uniform(settings, "role", 0, 1)
    role = np.where(draw < settings.semantic, SEMANTIC, np.where(draw < settings.semantic + settings.mixed, MIXED, 0))
    # Textures weigh less than objects, so that the ranking of the graded captioners is known.
    scale = np.array([MADE_OF if name in TEXTURES else 1.0 for name in ATTRIBUTES])
    weights = _stream(settings, "weights").normal(0, 1.0, (settings.neurons, len(ATTRIBUTES))) * scale
    return {"role": role, "weights": np.where((role != LOW_LEVEL)[:, None], weights, 0.0)}
