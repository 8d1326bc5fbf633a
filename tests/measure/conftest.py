"""One compiled engine for all tests that trace a guest of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qtrace.measure.attacher import Attacher
from qtrace.measure.instrument_registry import open_full_engine
from qtrace.store.index import Index


@pytest.fixture(scope="session")
def attacher(index: Index) -> Iterator[Attacher]:
    with open_full_engine() as engine:
        yield Attacher(engine, index)
