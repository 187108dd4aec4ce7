"""Resumable HTTP download of one file."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from recon.errors import InputError
from recon.files import write_bytes

if TYPE_CHECKING:
    from requests import Response, Session

CHUNK = 2**15
"""Bytes per read: the most that a broken connection loses."""
TIMEOUT = (15.0, 60.0)
"""Connect and read timeouts in seconds."""
LIMIT = 20 * 10**9
"""Bytes after which a download stops if neither the publisher nor the server states its size."""
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
AGAIN = "run the same command again to resume"


@dataclass(frozen=True)
class Offer:
    """Version `mark` and size `total` (bytes, None if unstated) of the file that a server offers at a URL.

    The mark is a strong ETag, else the Last-Modified time, else empty. Without a mark the version cannot be verified,
    and the next attempt starts from the beginning.
    """

    url: str
    mark: str
    total: int | None


@dataclass(frozen=True)
class Download:
    """Download that writes to `partial`, resumes after an interruption, and moves the complete file.

    A note beside `partial` (`.json`) stores the offered version. The remainder is requested with `Range` and
    `If-Range`; a server without support for them, or with another version, sends the whole file. `size` is the
    expected number of bytes, if known; `limit` is the largest where the server states none either. Nothing beyond is
    written, however the server sends it (in chunks, compressed), and an excess removes `partial`: it is not the
    beginning of the right file. Other errors keep the received bytes. All are InputErrors.
    """

    partial: Path
    home: str
    size: int | None = None
    limit: int = LIMIT

    def fetch(self, url: str, target: Path) -> None:
        """Download `url` to `target`."""
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        with self._as_input_errors(url):
            self._complete(url)
            self.partial.replace(target)
            self.note.unlink(missing_ok=True)

    @property
    def note(self) -> Path:
        """Path of the note, which stores the offered version until the file is complete."""
        return self.partial.with_name(f"{self.partial.name}.json")

    def _complete(self, url: str) -> None:
        import requests

        note = self._read_note(url)
        done = self.partial.stat().st_size if note and note.mark and self.partial.exists() else 0
        if not (note and 0 < done == note.total and self.size in (None, done)):
            with requests.Session() as session:
                self._fetch(session, url, note if done else None, done)

    def _fetch(self, session: Session, url: str, note: Offer | None, done: int) -> None:
        with _ask(session, url, note, done) as response:
            partly = note is not None and response.status_code in (206, 416)
            if not partly or _continues(response, note, done):
                self._check_status(response, url)
                self._receive(response, url, done if partly else 0)
                return
        # The remainder is of another version or missing: request the whole file.
        self._fetch(session, url, None, 0)

    def _receive(self, response: Response, url: str, done: int) -> None:
        offer = _offer(response, url, done)
        self._check_offer(offer, response, done)
        if done == 0:
            # Delete before writing the note: old bytes must never be paired with the note of a new version.
            self.partial.unlink(missing_ok=True)
            self._write_note(offer)
        total = self.size if offer.total is None else offer.total
        if self._write(response, done, total):
            self._refuse_excess(url, total)
        arrived = self.partial.stat().st_size
        if total is not None and arrived != total:
            raise InputError(f"{self._name}: expected {total} bytes, got {arrived} of {url}; {AGAIN}")

    def _write(self, response: Response, done: int, total: int | None) -> bool:
        """Write what arrives, at most up to the total or the limit; return whether there was more."""
        from tqdm import tqdm

        left = (self.limit if total is None else total) - done
        bar = tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=self._name, leave=False, disable=None)
        with self.partial.open("ab" if done else "wb") as stream, bar:
            for piece in response.iter_content(CHUNK):
                stream.write(piece[: max(left, 0)])
                bar.update(len(piece))
                left -= len(piece)
                if left < 0:
                    break
            stream.flush()
            os.fsync(stream.fileno())
        return left < 0

    def _refuse_excess(self, url: str, total: int | None) -> NoReturn:
        self.partial.unlink()
        self.note.unlink(missing_ok=True)
        if total is None:
            raise InputError(
                f"{self._name}: expected at most {self.limit / 1e9:g} GB, got more from {url}, which states no size; "
                f"it was removed: look at {self.home}, and raise the limit with --at-most"
            )
        raise InputError(
            f"{self._name}: expected {total} bytes, got more from {url}; it was removed: look at {self.home}"
        )

    def _check_offer(self, offer: Offer, response: Response, done: int) -> None:
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            raise InputError(f"{self._name}: expected a file, got a web page from {offer.url}; look at {self.home}")
        if offer.total is None:
            return
        if self.size is not None and offer.total != self.size:
            raise InputError(
                f"{self._name}: expected {self.size} bytes, got {offer.total} from {offer.url}; "
                f"the publisher has changed the file: look at {self.home}"
            )
        free = shutil.disk_usage(self.partial.parent).free
        if offer.total - done > free:
            raise InputError(
                f"{self._name}: expected {(offer.total - done) / 1e9:.2f} GB of free disk, got {free / 1e9:.2f} GB; "
                "free some space and run the same command again, or name another folder with --to"
            )

    def _check_status(self, response: Response, url: str) -> None:
        status = response.status_code
        if status in (404, 410):
            raise InputError(f"{self._name}: expected a file at {url}, got none ({status}); look for it at {self.home}")
        if status in (401, 403, 407):
            raise InputError(f"{self._name}: expected {url} to be public, got {status}; look at {self.home}")
        if status >= 400:
            raise InputError(f"{self._name}: expected {url} to answer, got {status}; wait a while, and {AGAIN}")

    @property
    def _name(self) -> str:
        return self.partial.name.removesuffix(".partial")

    def _read_note(self, url: str) -> Offer | None:
        try:
            note = Offer(**json.loads(self.note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return note if note.url == url else None

    def _write_note(self, offer: Offer) -> None:
        write_bytes(self.note, (json.dumps(vars(offer)) + "\n").encode())

    @contextmanager
    def _as_input_errors(self, url: str) -> Iterator[None]:
        """Turn network and disk errors into InputErrors that state how many bytes are kept."""
        from requests import RequestException

        try:
            yield
        except RequestException as error:
            raise InputError(
                f"{self._name}: expected {urlsplit(url).hostname} to send the file, got {_reason(error)} after "
                f"{self._received()}; check the network (https_proxy names a proxy), and {AGAIN}"
            ) from error
        except OSError as error:
            room = "free some space" if error.errno in NO_ROOM else "correct that or name another folder with --to"
            raise InputError(
                f"{self.partial}: expected to write the received bytes, got {error.strerror or error} after "
                f"{self._received()}; {room}, and {AGAIN}"
            ) from error

    def _received(self) -> str:
        return f"{self.partial.stat().st_size if self.partial.exists() else 0} bytes"


def _ask(session: Session, url: str, note: Offer | None, done: int) -> Response:
    # Byte counts and ranges are undefined for a compressed response.
    headers = {"Accept-Encoding": "identity"}
    if note:
        headers |= {"Range": f"bytes={done}-", "If-Range": note.mark}
    return session.get(url, headers=headers, stream=True, timeout=TIMEOUT)


def _continues(response: Response, note: Offer | None, done: int) -> bool:
    """Return whether a response is the remainder of the noted version after `done` bytes."""
    first, total = _range(response)
    same = note is not None and total == note.total and _mark(response) in ("", note.mark)
    return same and response.status_code == 206 and first == done


def _offer(response: Response, url: str, done: int) -> Offer:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return Offer(url, "", None)
    if done:
        return Offer(url, _mark(response), _range(response)[1])
    length = response.headers.get("Content-Length", "")
    return Offer(url, _mark(response), int(length) if length.isdigit() else None)


def _mark(response: Response) -> str:
    tag = str(response.headers.get("ETag", ""))
    return tag if tag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _range(response: Response) -> tuple[int | None, int | None]:
    """Return the first byte and total size of a Content-Range; None where unknown."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if found is None:
        return None, None
    return int(found[1]), int(found[2]) if found[2].isdigit() else None


def _reason(error: Exception) -> str:
    from requests import exceptions

    reasons = {
        exceptions.ProxyError: "an unresponsive proxy",
        exceptions.SSLError: "an untrusted certificate",
        exceptions.Timeout: "no answer in time",
        exceptions.ChunkedEncodingError: "a broken connection",
        exceptions.ConnectionError: "no connection",
    }
    return next((words for kind, words in reasons.items() if isinstance(error, kind)), " ".join(str(error).split()))
