"""Calibration: intervals of estimates, from clips with known truth that nothing else has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recon.errors import InputError
from recon.metrics.intervals.bounds import Bounds
from recon.metrics.intervals.features import FEATURES, features, motion
from recon.metrics.intervals.groups import NAMES, Groups
from recon.metrics.intervals.heads import NARROWEST, Arms, QuantileHeads, fit_heads
from recon.metrics.intervals.risk import Risk, missed_by
from recon.metrics.intervals.settings import LEVEL, CalibrationSettings, check_count

ONE_SD = 0.6826894921370859
"""Level of the interval whose half-width is declared as standard deviation: ± 1 of a Gaussian error."""
ROUNDING = 1e-6
"""By how much bounds are widened, so that float32 misses nothing that was counted as covered."""
GRAIN = 1e-3
"""Widths are compared at this grain: rounding errors of equal widths are no groups."""
UNIT = 0.1
"""Arms of the base "constant"; its factor decides."""


class EstimatedClip(NamedTuple):
    """A reconstructed clip: `movie` and `truth` `[C,T,H,W]` in [0,1], `deviation` of a sampler's `draws` or None."""

    movie: Tensor
    truth: Tensor
    deviation: Tensor | None = None


@dataclass(frozen=True)
class Scored:
    """Frames of a clip and pixels of the screen that are scored: [warmup, T − tail), `pixel_mask` `[H,W]` or all."""

    warmup: int = 0
    tail: int = 0
    pixel_mask: Tensor | None = None

    def of(self, movie: Tensor) -> Tensor:
        """Return the scored pixels `[…,P]` of movies `[…,C,T,H,W]`."""
        cut = movie[..., self.warmup : movie.shape[-3] - self.tail, :, :]
        return cut.flatten(-4) if self.pixel_mask is None else cut[..., self.pixel_mask].flatten(-3)

    def everywhere(self, movie: Tensor) -> Tensor:
        """Return the mask `[C,T,H,W]` of the scored pixels."""
        mask = torch.zeros(movie.shape, dtype=torch.bool)
        inside = mask[:, self.warmup : movie.shape[1] - self.tail]
        inside[...] = True if self.pixel_mask is None else self.pixel_mask
        return mask


@dataclass(frozen=True)
class Calibration:
    """Intervals of estimates `[C,T,H,W]`, valid for clips exchangeable with the calibration clips (see `risk`).

    Where nothing is scored (`scored`), nothing is claimed: the interval is the whole range, 0 to 1.
    """

    settings: CalibrationSettings
    scored: Scored
    risk: Risk
    heads: QuantileHeads | None = None
    place: Tensor | None = None
    groups: Groups | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups within which the intervals are valid."""
        return ("all pixels",) if self.groups is None else NAMES

    def bounds(self, movie: Tensor, deviation: Tensor | None = None, *, level: float = LEVEL) -> Bounds:
        """Return the bounds of an estimate at a level; `deviation` of its draws where the calibration clips had one."""
        if not 0 < level < 1:
            raise InputError(f"level: expected a probability between 0 and 1, got {level}; 0.9 is usual")
        arms = self.arms_of(movie, deviation)
        members = self.members(movie, arms)
        factor = self.risk.factor(level, self.scored.of(members).double().mean(-1))
        widest = torch.where(members, factor[:, None, None, None, None].float(), 0).amax(0)
        widest = torch.where(self.scored.everywhere(movie), widest, torch.inf)
        centre = movie + arms.centre
        lower, upper = centre - widest * arms.below - ROUNDING, centre + widest * arms.above + ROUNDING
        return Bounds(lower.clamp(0, 1), upper.clamp(0, 1))

    def deviation(self, movie: Tensor, deviation: Tensor | None = None) -> Tensor:
        """Return the standard deviation `[C,T,H,W]`: half the width of the 68.3 % interval."""
        return self.bounds(movie, deviation, level=ONE_SD).half_width

    def members(self, movie: Tensor, arms: Arms) -> Tensor:
        """Return the mask `[G,C,T,H,W]` of the groups."""
        if self.groups is None:
            return torch.ones((1, *movie.shape), dtype=torch.bool)
        first, end = self.scored.warmup, movie.shape[1] - self.scored.tail
        return self.groups.members(movie, _width(movie, arms), first=first, end=end)

    def counted(self, clip: EstimatedClip) -> tuple[Tensor, Tensor]:
        """Return what a calibration clip adds to the risk."""
        arms = self.arms_of(clip.movie, clip.deviation)
        scores = self.scored.of(arms.scores(clip.truth - clip.movie))
        return missed_by(scores, self.scored.of(self.members(clip.movie, arms)))

    @torch.no_grad()
    def arms_of(self, movie: Tensor, deviation: Tensor | None) -> Arms:
        """Return the arms `[C,T,H,W]` of an estimate before they are stretched."""
        if self.settings.base == "draws":
            spread = required(deviation).clamp_min(NARROWEST)
            return Arms(torch.zeros_like(movie), spread, spread)
        if self.heads is None or self.place is None:
            unit = torch.full_like(movie, UNIT)
            return Arms(torch.zeros_like(movie), unit, unit)
        wanted = len(self.heads.mean) - FEATURES
        known = features(movie, self.place, required(deviation) if wanted else None)
        arms = self.heads(known.flatten(0, -2))
        return Arms(*(arm.reshape(movie.shape) for arm in arms))

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that was fitted, for an artefact."""
        found = {"risk.missed": self.risk.missed, "risk.within": self.risk.within}
        found["risk.clips"] = torch.tensor(self.risk.clips)
        if self.heads is not None and self.place is not None and self.groups is not None:
            found |= {f"heads.{name}": value for name, value in self.heads.state_dict().items()}
            found |= {"place": self.place, "thresholds": self.groups.thresholds}
        return found

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], settings: CalibrationSettings, scored: Scored) -> Calibration:
        """Return the calibration of an artefact's tensors."""
        risk = Risk(tensors["risk.missed"], tensors["risk.within"], int(tensors["risk.clips"]))
        if "place" not in tensors:
            return cls(settings, scored, risk)
        heads = QuantileHeads(len(tensors["heads.mean"]), settings.hidden)
        heads.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("heads.")})
        return cls(settings, scored, risk, heads, tensors["place"], Groups(tensors["thresholds"]))


def calibrate_on(clips: Sequence[EstimatedClip], settings: CalibrationSettings, scored: Scored) -> Calibration:
    """Return the calibration by clips with known truth; raises InputError for too few of them.

    Clips are divided at random: the base is fitted to the first part, and the risk is that of the others.
    """
    fitted = settings.fitted_clips(len(clips))
    check_count(len(clips), settings)
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(len(clips), generator=generator).tolist()
    nothing = Risk(torch.zeros(1, 1), torch.zeros(1), 0)
    base = Calibration(settings, scored, nothing)
    if fitted:
        base = _fitted(base, [clips[i] for i in order[:fitted]], generator)
    parts = [base.counted(clips[i]) for i in order[fitted:]]
    risk = Risk(sum_of([missed for missed, _ in parts]), sum_of([within for _, within in parts]), len(parts))
    return Calibration(settings, scored, risk, base.heads, base.place, base.groups)


def required(deviation: Tensor | None) -> Tensor:
    """Return the deviation of draws; raises InputError without one."""
    if deviation is None:
        raise InputError(
            "intervals: expected the deviation of a sampler's draws, as of the calibration clips, got none; take a "
            "method with draws, such as diffusion_posterior, or base heads"
        )
    return deviation


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors of one shape."""
    return torch.stack(list(parts)).sum(0)


def _fitted(base: Calibration, clips: Sequence[EstimatedClip], generator: torch.Generator) -> Calibration:
    """Return the calibration with heads and groups fitted to clips, and without risk."""
    settings, scored = base.settings, base.scored
    several = all(clip.deviation is not None for clip in clips)
    place = _place(clips, scored)
    known, errors = [], []
    for clip in clips:
        chosen = _chosen(scored.of(clip.movie).shape[0], settings.pixels, generator)
        seen = features(clip.movie, place, clip.deviation if several else None)
        known.append(torch.stack([scored.of(one)[chosen] for one in seen.unbind(-1)], -1))
        errors.append(scored.of(clip.truth - clip.movie)[chosen])
    heads = fit_heads(known, errors, settings, generator).requires_grad_(False)
    ready = Calibration(settings, scored, base.risk, heads, place)
    widths, movies, motions = [], [], []
    for clip in clips:
        chosen = _chosen(scored.of(clip.movie).shape[0], settings.pixels, generator)
        arms = ready.arms_of(clip.movie, clip.deviation)
        widths.append(scored.of(_width(clip.movie, arms))[chosen])
        movies.append(scored.of(clip.movie)[chosen])
        motions.append(scored.of(motion(clip.movie))[chosen])
    groups = Groups.between(*(torch.cat(each) for each in (widths, movies, motions)))
    return Calibration(settings, scored, base.risk, heads, place, groups)


def _chosen(count: int, most: int, generator: torch.Generator) -> Tensor:
    return torch.randint(count, (min(most, count),), generator=generator)


def _place(clips: Sequence[EstimatedClip], scored: Scored) -> Tensor:
    """Return the mean absolute error `[H,W]` over scored frames of clips, smoothed over 3 × 3 pixels."""
    frames = [clip.truth.shape[1] - scored.tail for clip in clips]
    errors = [
        (clip.truth - clip.movie).abs()[:, scored.warmup : end].mean((0, 1))
        for clip, end in zip(clips, frames, strict=True)
    ]
    mean = torch.stack(errors).mean(0)
    return torch.nn.functional.avg_pool2d(mean[None], 3, stride=1, padding=1, count_include_pad=False)[0]


def _width(movie: Tensor, arms: Arms) -> Tensor:
    """Return the half-width of the intervals before they are stretched, cut at the range and rounded."""
    centre = movie + arms.centre
    width = ((centre + arms.above).clamp(0, 1) - (centre - arms.below).clamp(0, 1)) / 2
    return (width / GRAIN).round() * GRAIN
