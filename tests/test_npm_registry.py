"""A registry that is away is a skip; one that lacks what is asked for is a failure."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from npm_registry import packed_file

pytestmark = [pytest.mark.needs("npm"), pytest.mark.slow]


def test_a_registry_that_is_away_is_a_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path))
    with socket.socket() as taken:  # a port at which nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{taken.getsockname()[1]}/")
        with pytest.raises(pytest.skip.Exception, match="does not answer: ECONNREFUSED"):
            packed_file("axe-core", "4.10.0", "axe.min.js")


def test_a_release_that_is_not_there_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path))
    with pytest.raises(AssertionError, match=r"ETARGET|E404"):
        packed_file("axe-core", "0.0.404", "axe.min.js")
