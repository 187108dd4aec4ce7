"""Screen of the Allen Brain Observatory, two-photon and Neuropixels, in visual degrees before the spherical warp.

Facts from the AllenSDK (`brain_observatory/stimulus_info.py`): 1920×1200 pixels, diagonal 61.214 cm, eye at 15 cm;
movies are stretched to 1080×1920 pixels, natural scenes shown at 918×1174, squares of sparse noise at 45 or 90 pixels,
all centred on grey 127. The display warps the picture spherically, so that a pixel before the warp has the same size in
degrees everywhere; natural scenes have the size of what the warp leaves visible.
"""

from __future__ import annotations

import math

from recon.data.formats.placement import Degrees
from recon.data.resize import Size

DIAGONAL, DISTANCE = 61.214, 15.0
"""Diagonal of the screen and its distance from the eye in cm."""
PIXELS = (1200, 1920)
"""Height and width of the screen in pixels."""
PIXEL = math.degrees(DIAGONAL / math.hypot(*PIXELS) / DISTANCE)
"""Degrees of a pixel of the screen before the warp."""
SCENE = (918, 1174)
"""Pixels of a natural scene, which fills the visible screen."""
SCREEN = (SCENE[0] * PIXEL, SCENE[1] * PIXEL)
"""Visible screen in degrees, 94.8×121.2."""
SHOWN = {SCENE: SCENE, (304, 608): (1080, 1920), (16, 28): (720, 1260), (8, 14): (720, 1260)}
"""Pixels on the screen of a template, by its own size: natural scenes, movies, sparse noise of two sizes."""
GRATING = (180, 230)
"""Pixels, of about half a degree, in which gratings are rendered on the visible screen."""
REFRESH = 60.0
"""Frames of the display per second."""
CONTRAST = 0.8
"""Published contrast of gratings, for files without it."""
GEOMETRY = (
    f"frames are placed by their published size on the visible screen of {SCREEN[0]:.1f}×{SCREEN[1]:.1f}°, grey 127 "
    "around them; coordinates are those before the spherical warp of the display, which is not applied"
)
"""What is decided about geometry."""


def degrees_of_template(size: Size) -> Degrees:
    """Return the degrees of a pixel of a published template; (0, 0) for a size that was not published.

    >>> [round(each, 2) for each in degrees_of_template((16, 28))]
    [4.65, 4.65]
    """
    shown = SHOWN.get(size)
    return (shown[0] / size[0] * PIXEL, shown[1] / size[1] * PIXEL) if shown else (0.0, 0.0)


def degrees_of_grating() -> Degrees:
    """Return the degrees of a pixel of rendered gratings, which fill the visible screen."""
    return SCREEN[0] / GRATING[0], SCREEN[1] / GRATING[1]
