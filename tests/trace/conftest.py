"""The kernel's headers, and modules that end with their test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modules import Make

from qtrace.trace.bpf.compiled import make_module
from qtrace.trace.bpf.prerequisites import ensure_headers


@pytest.fixture(name="headers")
def _headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path | None:
    """The kernel's headers, and then a cache of this test's own."""
    headers = ensure_headers()
    if headers:
        monkeypatch.setenv("BCC_KERNEL_SOURCE", str(headers))
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    return headers


@pytest.fixture(name="make")
def _make() -> Iterator[Make]:
    """`make_module`, whose modules are freed when the test ends."""
    made: list[Any] = []

    def make(text: str, headers: Path | None) -> tuple[Any, bool]:
        module, kept = make_module(text, headers)
        made.append(module)
        return module, kept

    yield make
    for module in made:
        module.cleanup()
