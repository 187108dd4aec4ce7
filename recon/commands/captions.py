"""`recon captions make`: caption a recording's movies with an image-to-text model."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.analysis.language.captioner import ImageCaptioner
from recon.analysis.language.make_captions import Stretches, make_captions
from recon.data.open import open_recording
from recon.encoders.base import resolve_device


def make(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write a table of captions, or resume an interrupted one."""
    stretches = Stretches(options.every, options.frames, options.batch)
    captioner = ImageCaptioner(options.model, options.frames, str(resolve_device(options.device)), options.longest)
    name = options.name or options.model.rstrip("/").split("/")[-1]
    recording = open_recording(options.folder)
    made = make_captions(recording, captioner, options.table, name=name, stretches=stretches)
    write(f"{made} captions by {name}, repeats of clips not counted; table: {options.table}")
