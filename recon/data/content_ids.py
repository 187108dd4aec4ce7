"""Ids of the videos that are written to a recording: each stands for one content."""

from __future__ import annotations

from recon.data.layout import Array, content_id
from recon.errors import InputError


class ContentIds:
    """Ids given so far, with the first trial and the content of each."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}

    def of(self, index: int, video: Array, given: str | None) -> str:
        """Return the id of the video `(T,H,W)` of a trial: the given one, or the hash of its content.

        Raises InputError if the given id stands for another content: trials of one id count as repeats.
        """
        content = content_id(video)
        name = content if given is None else str(given)
        first, known = self._known.setdefault(name, (index, content))
        if known != content:
            raise InputError(
                f"video_id of trial {index}: expected the video of trial {first}, which has the id {name!r}, got "
                "another; trials of one id count as repeats: leave the id out to have it from the content"
            )
        return name
