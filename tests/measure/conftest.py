"""One compiled engine for all tests that trace a guest of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qtrace.measure.attacher import Attacher
from qtrace.store.index import Index
from qtrace.trace.session.engine import open_engine


@pytest.fixture(scope="session")
def attacher(index: Index) -> Iterator[Attacher]:
    with open_engine() as engine:
        yield Attacher(engine, index)
