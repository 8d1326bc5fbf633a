"""Serves an atlas on this machine's loopback, and on nothing else."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

from qtrace.errors import StoreError

__all__ = ["HOST", "serving"]

HOST = "127.0.0.1"


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder. A page of another site that calls itself by this address is refused."""

    def send_head(self):  # type: ignore[no-untyped-def]  # of the standard library, without types
        name = self.headers.get("Host", "").rpartition(":")[0]
        if name not in (HOST, "localhost"):
            self.send_error(403)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """A library prints nothing."""


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[int]:
    """Serve `folder` until the block ends; yields the port, chosen by the kernel for 0. Raises StoreError."""
    handler = functools.partial(_Handler, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer((HOST, port), handler)
    except OSError as exc:
        raise StoreError(
            f"cannot serve on {HOST}, port {port}: {exc.strerror}", hint="choose another with --port"
        ) from exc
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
