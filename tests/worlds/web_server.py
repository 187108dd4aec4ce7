"""A web server on loopback with failing downloads: broken connections, changed files, no range support."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """Content of a server, and the requests it received."""

    content: bytes = b""
    tag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    conditional: bool = True
    cut: int | None = None
    """Bytes of the body after which the connection breaks, once."""
    status: int = 200
    kind: str = "application/zip"
    length: bool = True
    chunked: bool = False
    stated: int | None = None
    """Total size that is said with a range, where it is not that of the content."""
    encoding: str = ""
    """Content-Encoding that is said of the content."""
    slow: float = 0.0
    """Seconds between chunks."""
    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    left: int = 0
    """Bytes of all bodies that have left the server so far."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mouse.zip"


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Suppress logging."""

        def do_GET(self) -> None:
            site.asked.append(dict(self.headers))
            site.paths.append(self.path)
            if site.status >= 400:
                self.send_error(site.status)
                return
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = not site.conditional or self.headers.get("If-Range") in (site.tag, site.modified)
            first = int(wanted[1]) if wanted and site.ranges and same else 0
            if first >= len(site.content) and first:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.body(first)

        def body(self, first: int) -> None:
            self.send_response(206 if first else 200)
            self.send_header("Content-Type", site.kind)
            if site.tag:
                self.send_header("ETag", site.tag)
            if site.modified:
                self.send_header("Last-Modified", site.modified)
            if first:
                total = site.stated or len(site.content)
                self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
            if site.encoding:
                self.send_header("Content-Encoding", site.encoding)
            if site.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif site.length:
                self.send_header("Content-Length", str(len(site.content) - first))
            self.end_headers()
            rest = site.content[first:]
            if site.cut is not None:
                rest, site.cut = rest[: site.cut], None
            site.sent.append(len(rest))
            with suppress(ConnectionError):
                for start in range(0, len(rest), 50_000):
                    self.piece(rest[start : start + 50_000])
                    time.sleep(site.slow)
                if site.chunked:
                    self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def piece(self, content: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content) if site.chunked else content)
            site.left += len(content)

    return Handler


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve a site in a thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(site))
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
