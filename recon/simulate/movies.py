"""Clips: sequences of scenes separated by cuts, rendered to grey levels, with captions and attributes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.simulate.captions import joined
from recon.simulate.facts import SceneFacts
from recon.simulate.render import FRAME_RATE, render
from recon.simulate.scenes import Scene, make_scene
from recon.simulate.sources import SPLITS, scene_source

DEGREES_PER_PIXEL = 1.94
"""64 pixels span 124°; the scale is isotropic, so 36 rows span 70°."""
SHORTEST, LONGEST = 2.0, 4.5
"""Minimum and maximum time between cuts in seconds."""


@dataclass(frozen=True)
class SceneRecord:
    """A scene's frames [`first`, `end`) in its clip, its captions, the name of its source, and facts if known."""

    first: int
    end: int
    captions: tuple[str, ...]
    source: str
    facts: SceneFacts | None = None


@dataclass(frozen=True)
class SimulatedClip:
    """`video` uint8 `[T,H,W]`, `attributes` `[A,T]`, captions of the whole clip, and its scenes."""

    name: str
    video: NDArray[np.uint8]
    attributes: NDArray[np.float32]
    captions: tuple[str, ...]
    scenes: tuple[SceneRecord, ...]

    def describe(self) -> list[dict[str, Any]]:
        """Return the scenes in the format of the captions' sidecar file."""
        return [
            {
                "first": scene.first,
                "end": scene.end,
                "caption": scene.captions[0],
                "captions": list(scene.captions),
                "source": scene.source,
                **({"facts": asdict(scene.facts)} if scene.facts else {}),
            }
            for scene in self.scenes
        ]


def make_clip(
    split: str,
    index: int,
    *,
    frames: int = 300,
    frame_size: tuple[int, int] = (36, 64),
    degrees_per_pixel: float = DEGREES_PER_PIXEL,
) -> SimulatedClip:
    """Return clip `index` of a split (one of `SPLITS`); deterministic in its arguments."""
    spans, videos, records, shown = _cuts(split, index, frames), [], [], []
    for part, (first, end) in enumerate(spans):
        source = scene_source(split, index, part)
        scene = make_scene(source, part, frames=end - first, frame_size=frame_size, degrees_per_pixel=degrees_per_pixel)
        videos.append(_frames(scene, end - first, frame_size, degrees_per_pixel))
        records.append(SceneRecord(first, end, scene.captions, source.name, scene.facts))
        shown.append(np.repeat(scene.attributes[:, None], end - first, axis=1))
    return SimulatedClip(
        name=f"{split}-{index:04d}",
        video=np.concatenate(videos),
        attributes=np.concatenate(shown, axis=1),
        captions=joined([record.captions for record in records]),
        scenes=tuple(records),
    )


def _cuts(split: str, index: int, frames: int) -> list[tuple[int, int]]:
    """Draw the scenes' (first, end) frames; a remainder that is too short is merged into the previous scene."""
    generator = np.random.default_rng([SPLITS.index(split), index, 3])
    cuts = [0]
    while frames - cuts[-1] > LONGEST * FRAME_RATE:
        cuts.append(cuts[-1] + round(generator.uniform(SHORTEST, LONGEST) * FRAME_RATE))
    if frames - cuts[-1] < SHORTEST * FRAME_RATE and len(cuts) > 1:
        cuts.pop()
    return list(zip(cuts, [*cuts[1:], frames], strict=True))


def _frames(scene: Scene, frames: int, frame_size: tuple[int, int], degrees_per_pixel: float) -> NDArray[np.uint8]:
    frame = render(scene.layers, frames=frames, frame_size=frame_size, degrees_per_pixel=degrees_per_pixel)
    levels: Tensor = scene.mean + scene.contrast * (frame - frame.mean()) / frame.std().clamp_min(1e-6)
    return levels.clamp(0, 255).round().to(torch.uint8).numpy()
