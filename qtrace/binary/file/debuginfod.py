"""Debug files by build id from the servers that the user named in DEBUGINFOD_URLS, as gdb requests them.

Without the variable, no server is asked. Received files are kept in the cache.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import urllib.request
from pathlib import Path

from qtrace.binary.file.buildid import build_id
from qtrace.cache import atomic_file, cache_dir
from qtrace.errors import BinaryError

__all__ = ["fetch_debug_file", "servers"]

_TIMEOUT = 30.0  # seconds without a byte
_LARGEST = 2**31
_PIECE = 2**20


def servers() -> list[str]:
    """The servers of DEBUGINFOD_URLS, http and https only."""
    named = os.environ.get("DEBUGINFOD_URLS", "").split()
    return [url.rstrip("/") for url in named if url.startswith(("http://", "https://"))]


def fetch_debug_file(wanted: str) -> Path | None:
    """The debug file of the binary with build id `wanted` (hex), from the cache or from the first server that
    has it; None if no server has it, or if the received file belongs to another binary."""
    if not re.fullmatch(r"[0-9a-f]{8,128}", wanted):
        return None
    target = cache_dir("debuginfo") / f"{wanted}.debug"
    if target.is_file():
        return target
    for server in servers():
        # An unreachable server is no error: the binary then has no symbols.
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, BinaryError):
            with atomic_file(target) as beside:
                _download(f"{server}/buildid/{wanted}/debuginfo", beside)
                if build_id(beside) != wanted:
                    raise BinaryError(f"{server} gave the symbols of another binary")
            return target
    return None


def _download(url: str, target: Path) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, target.open("wb") as out:
        size = 0
        while piece := answer.read(_PIECE):
            size += len(piece)
            if size > _LARGEST:
                raise ValueError(f"{url} is too large")
            out.write(piece)
