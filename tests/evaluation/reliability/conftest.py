"""One engine and one guest for all trials."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from trial import Bench, open_bench

from qtrace.store.index import Index


@pytest.fixture(scope="session")
def bench(index: Index) -> Iterator[Bench]:
    with open_bench(index) as bench:
        yield bench
