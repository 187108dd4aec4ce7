"""The packaged example: a simulated recording that ships inside the package."""

from __future__ import annotations

from pathlib import Path

from recon.api.packing import unpacked
from recon.api.places import kept_recordings
from recon.api.recording import OpenRecording
from recon.files import file_hash
from recon.files.paths import user_path

PACKED = Path(__file__).parent / "packaged/example.zip"


def example(folder: Path | str | None = None) -> OpenRecording:
    """Return the packaged example, a simulated recording of 200 neurons of mouse V1 that saw a few minutes of movie.

    Its encoder is `load_encoder("example")`. It is unpacked once, to `folder` or to the cache folder, which
    `$RECON_CACHE` names.

    >>> import recon
    >>> recon.example().neurons
    200
    """
    place = user_path(folder) if folder else kept_recordings() / f"example-{file_hash(PACKED)[:12]}"
    return OpenRecording(unpacked(PACKED, place))
