"""Stimuli of Allen sessions, two-photon and Neuropixels: movies, scenes, sparse noise, gratings, flashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from recon.data.colour import grey
from recon.data.formats.allen_screen import (
    CONTRAST,
    GEOMETRY,
    GRATING,
    REFRESH,
    SCREEN,
    degrees_of_grating,
    degrees_of_template,
)
from recon.data.formats.flashes import FlashedStimulus, blocks
from recon.data.formats.gratings import Gratings
from recon.data.formats.placement import GREY, Degrees
from recon.data.formats.presentations import BLANK, TableRows, frame_numbers, in_order, repeats_of
from recon.data.formats.session import ShownStimulus
from recon.data.hdf5 import Values
from recon.data.layout import Array
from recon.data.resize import Size

NOT_SHOWN = ("spontaneous", "invalid", "optogenetic")
"""Beginnings of the names of tables that list no stimulus."""
FULL_FIELD = 120.0
"""Minimum diameter in degrees of a grating that fills the visible screen."""
NEEDED = {
    "orientation": ("orientation in degrees", -360.0, 360.0, np.nan),
    "spatial_frequency": ("spatial frequency in cycles per degree", 1e-4, 10.0, np.nan),
    "phase": ("start phase in cycles", -1.0, 1.0, np.nan),
    "contrast": ("contrast", 0.0, 1.0, CONTRAST),
    "temporal_frequency": ("temporal frequency in Hz", -200.0, 200.0, 0.0),
}
"""Columns that a grating needs: in words, range and default.

The phase of drifting gratings in public Neuropixels files is one number of several thousand cycles in every row, a
counter and not the start phase of a presentation.
"""
CONVENTION = (
    "orientation 0 is vertical bars and turns clockwise, phase 0 (in cycles) is a bright bar at the centre of the "
    "screen, bars drift against the direction of the orientation (AllenSDK)"
)
"""What is decided about gratings."""
FLASHED = (
    "flashed stimuli are for training, since the same images return throughout, and movies are split by content; with "
    "too few movies, all are split and no image is unseen"
)
FLASHED_ONLY = "flashed stimuli are split by trials: the same images return in all tiers, so that none is unseen"
"""What is decided about tiers, of sessions with movies and of others."""


@dataclass(frozen=True)
class StimulusTable:
    """Table of one stimulus: `starts` and `stops` `(K,)` in seconds, `columns` of numbers `(K,)` with NaN for none.

    `template` holds the frames to which the column `frame` refers, None if the file has none. `mask` is the shape of
    patches and `units` the unit of sizes, "" if not stated.
    """

    name: str
    starts: Array
    stops: Array
    columns: Mapping[str, Array]
    template: Values | None = None
    mask: str = ""
    units: str = ""

    def in_order(self, numbers: Array, notes: list[str]) -> TableRows:
        """Return the rows by time, with the given numbers of frames or gratings."""
        repeats = self.columns.get("repeat")
        return in_order(self.starts, self.stops, numbers=numbers, about=self.name, notes=notes, repeats=repeats)


@dataclass
class ReadStimuli:
    """Presentations, the screen they are placed on, and the reason for every stimulus that is left out, by name.

    `gratings`: some are rendered.
    """

    shown: list[ShownStimulus] = field(default_factory=list)
    screen: Degrees = (0.0, 0.0)
    left_out: dict[str, str] = field(default_factory=dict)
    gratings: bool = False

    def decided(self) -> dict[str, str]:
        """Return what was decided about geometry, gratings, tiers and stimuli left out, by topic."""
        geometry = {"geometry": GEOMETRY} if all(self.screen) else {}
        geometry |= {"gratings": CONVENTION} if self.gratings else {}
        flashed = [not shown.paced for shown in self.shown]
        tiers = {"tiers": FLASHED_ONLY if all(flashed) else FLASHED} if any(flashed) else {}
        return geometry | tiers | ({"left out": "; ".join(self.reasons())} if self.left_out else {})

    def reasons(self) -> list[str]:
        """Return stimuli left out with the number of their presentations and the reason."""
        return [f"{name}: {reason}" for name, reason in sorted(self.left_out.items())]


def read_stimuli(tables: Sequence[StimulusTable], notes: list[str]) -> ReadStimuli:
    """Return the presentations of all tables in order of time.

    A template of a size that was not published has no known size in degrees: if there is no other, its movies are
    taken to fill the screen, and what is rendered in degrees is left out.
    """
    listed = [table for table in tables if not table.name.startswith(NOT_SHOWN)]
    known = {
        table.name: all(degrees_of_template(_size(table.template))) for table in listed if table.template is not None
    }
    in_degrees = any(known.values()) or not known
    read = ReadStimuli(screen=SCREEN if in_degrees else (0.0, 0.0))
    for table in listed:
        about = f"{len(table.starts)} presentations"
        found = _presentations(table, notes, in_degrees=in_degrees)
        if isinstance(found, str):
            read.left_out[table.name] = f"{about}, {found}"
        else:
            read.shown += found
            read.gratings |= table.template is None and "orientation" in table.columns
    read.shown.sort(key=lambda shown: float(shown.onsets[0]))
    return read


def _presentations(table: StimulusTable, notes: list[str], *, in_degrees: bool) -> list[ShownStimulus] | str:
    """Return the presentations of a table, or the reason why it is left out."""
    if len(table.starts) == 0:
        return "none listed"
    if table.template is not None and "frame" in table.columns:
        if in_degrees and not all(degrees_of_template(_size(table.template))):
            return "the size of its frames in degrees is unknown"
        return list(_movie(table, table.template, notes) if "movie" in table.name else _images(table, notes))
    if "frame" in table.columns and "orientation" not in table.columns:
        return "no template in the file"
    if not in_degrees:
        return "the size of the screen in degrees is unknown"
    if "color" in table.columns and table.name.startswith("flash"):
        return _full_field(table, notes)
    if "orientation" in table.columns:
        return _gratings(table, notes)
    return "not described by the file well enough to be rendered"


def _movie(table: StimulusTable, template: Values, notes: list[str]) -> Iterator[ShownStimulus]:
    """Yield the repeats of a movie."""
    numbers = frame_numbers(table.columns["frame"], template.shape[0], table.name)
    for rows in repeats_of(table.in_order(numbers, notes)):
        yield ShownStimulus(
            rows.starts,
            max(float(rows.stops[-1]), float(rows.starts[-1]) + 1e-3),
            partial(template_frames, template, rows.numbers),
            table.name,
            degrees=degrees_of_template(_size(template)),
        )


def _images(table: StimulusTable, notes: list[str]) -> Iterator[ShownStimulus]:
    """Yield blocks of flashed images: natural scenes or sparse noise."""
    template = table.template
    if template is None:
        return
    numbers = frame_numbers(table.columns["frame"], template.shape[0], table.name)
    still = np.zeros(template.shape[0], dtype=bool)
    size = _size(template)
    read = partial(_still_frames, template)
    images = FlashedStimulus(table.name, read, size, degrees_of_template(size), still, REFRESH)
    yield from blocks(images, table.in_order(numbers, notes))


def _gratings(table: StimulusTable, notes: list[str]) -> list[ShownStimulus] | str:
    """Return blocks of gratings, or the reasons why they cannot be rendered."""
    orientation = _column(table, "orientation", np.nan)
    blank = np.isnan(orientation) | (_column(table, "blank_sweep", 0.0) == 1)
    if blank.all():
        return "no row has an orientation"
    reasons = [*(_missing(table, name, blank) for name in NEEDED), _no_patch(table, blank)]
    if any(reasons):
        return ", ".join(reason for reason in reasons if reason)
    size = _column(table, "size", np.inf)
    facts = [
        orientation,
        _column(table, "spatial_frequency", np.nan),
        _column(table, "phase", np.nan),
        _column(table, "temporal_frequency", 0.0),
        _column(table, "contrast", CONTRAST),
        np.where(size < FULL_FIELD, size, np.inf),
        np.nan_to_num(_column(table, "x_position", 0.0)),
        np.nan_to_num(_column(table, "y_position", 0.0)),
    ]
    distinct, numbers = np.unique(np.stack(facts, axis=1), axis=0, return_inverse=True)
    angle, frequency, phase, drift, contrast, diameter, x, y = distinct.T
    gratings = Gratings(
        angle, frequency, phase, drift, contrast=contrast, diameter=diameter, centre=np.stack([x, y], 1)
    )
    if "contrast" not in table.columns:
        notes.append(f"{table.name}: the file has no contrast; the published {CONTRAST:.0%} is taken")
    read = partial(_grating_frames, gratings)
    moving = drift != 0
    drawn = FlashedStimulus(table.name, read, GRATING, degrees_of_grating(), moving, REFRESH)
    return list(blocks(drawn, table.in_order(np.where(blank, BLANK, numbers.reshape(-1)), notes)))


def _missing(table: StimulusTable, name: str, blank: Array) -> str:
    """Return why a needed column does not describe all gratings; "" if it does."""
    about, low, high, default = NEEDED[name]
    default = np.nan if name == "temporal_frequency" and "drifting" in table.name else default
    values = _column(table, name, default)[~blank]
    known = np.isfinite(values)
    if not known.any():
        return f"no {about} in the file"
    lost = int((~(known & (values >= low) & (values <= high))).sum())
    return f"{lost} with no {about} of {low:g} to {high:g}" if lost else ""


def _no_patch(table: StimulusTable, blank: Array) -> str:
    """Return why gratings smaller than the screen cannot be rendered; "" if they can."""
    if table.units not in ("", "deg"):
        return f"sizes are in {table.units}, not in degrees"
    patch = (_column(table, "size", np.inf) < FULL_FIELD) & ~blank
    places = np.stack([_column(table, name, np.nan) for name in ("x_position", "y_position")])
    lost = int((~np.isfinite(places).all(0))[patch].sum())
    if patch.any() and table.mask != "circle":
        return f"patches with {table.mask or 'an unknown'} mask are not rendered"
    return f"{lost} patches without a position" if lost else ""


def _full_field(table: StimulusTable, notes: list[str]) -> list[ShownStimulus] | str:
    """Return blocks of full-field flashes, white (colour 1) or black (−1), or why they cannot be rendered."""
    levels = GREY * (1 + _column(table, "color", np.nan) * _column(table, "contrast", np.nan))
    lost = int((~((levels >= 0) & (levels <= 255))).sum())
    if lost:
        return f"{lost} without colour and contrast"
    distinct, numbers = np.unique(levels, return_inverse=True)
    read: Callable[[Array, Array], Array] = partial(_uniform_frames, distinct)
    still = np.zeros(len(distinct), dtype=bool)
    flashed = FlashedStimulus(table.name, read, GRATING, degrees_of_grating(), still, REFRESH)
    return list(blocks(flashed, table.in_order(numbers, notes)))


def _column(table: StimulusTable, name: str, default: float) -> Array:
    return table.columns.get(name, np.full(len(table.starts), default))


def _size(template: Values) -> Size:
    return template.shape[1], template.shape[2]


def template_frames(template: Values, frames: Array, numbers: Array) -> Array:
    """Return frames of a template by place in `frames`, as grey levels; HDF5 requires increasing indices."""
    distinct, place = np.unique(frames[numbers], return_inverse=True)
    return grey(template[list(distinct)])[place]


def _still_frames(template: Values, numbers: Array, elapsed: Array) -> Array:
    return template_frames(template, numbers, np.arange(len(elapsed)))


def _grating_frames(gratings: Gratings, numbers: Array, elapsed: Array) -> Array:
    return gratings.frames(GRATING, degrees_of_grating(), which=numbers, elapsed=elapsed)


def _uniform_frames(levels: Array, numbers: Array, elapsed: Array) -> Array:
    return np.broadcast_to(levels[numbers][:, None, None], (len(elapsed), *GRATING))
