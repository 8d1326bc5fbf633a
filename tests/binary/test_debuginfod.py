"""A debug file from a server that the user named: asked for by build id, checked, kept, never in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qtrace.binary.file.buildid import build_id
from qtrace.binary.file.debugfile import debug_file
from qtrace.binary.file.elf import Elf

MINE, OTHER = Path("/usr/bin/env"), Path("/usr/bin/ls")


class Server(ThreadingHTTPServer):
    """Gives `content` for every build id and remembers what it was asked."""

    content = b""
    asked: list[str]


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200 if self.server.content else 404)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Answer) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("DEBUGINFOD_URLS", f"ftp://nowhere http://127.0.0.1:{server.server_address[1]}/")
        monkeypatch.setenv("QTRACE_CACHE", str(tmp_path))
        yield server
        server.shutdown()
        thread.join()


def test_it_is_fetched_by_build_id_and_kept(server: Server) -> None:
    server.content = MINE.read_bytes()
    elf = Elf(MINE)
    found = debug_file(MINE, elf, None)
    assert found and found.read_bytes() == server.content
    assert server.asked == [f"/buildid/{build_id(MINE)}/debuginfo"]
    assert debug_file(MINE, elf, None) == found
    assert len(server.asked) == 1, "asked again"


@pytest.mark.parametrize(
    "content", [b"", b"no ELF file", OTHER.read_bytes()], ids=["404", "rubbish", "another"]
)
def test_what_is_not_this_binary_s_is_not_kept(server: Server, tmp_path: Path, content: bytes) -> None:
    server.content = content
    assert debug_file(MINE, Elf(MINE), None) is None
    assert server.asked and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_the_variable_nobody_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEBUGINFOD_URLS")
    assert debug_file(MINE, Elf(MINE), None) is None
    assert not server.asked
