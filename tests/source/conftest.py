"""The index of the installed QEMU's own source, made once and kept in the cache."""

from __future__ import annotations

import pytest

from qtrace.source.build import ensure_index
from qtrace.store.index import Index


@pytest.fixture(scope="session")
def index() -> Index:
    return ensure_index()[0]
