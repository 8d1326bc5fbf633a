"""What the index reports at the labelled call sites is nearly always right."""

from __future__ import annotations

import pytest
from precision import judge, labels

from qtrace.store.index import Index


def test_nineteen_of_twenty_reported_targets_are_right(index: Index) -> None:
    version = labels()["qemu"]
    if index.meta["qemu"] != version:
        pytest.skip(f"the labels are of QEMU {version}, the index of {index.meta['qemu']}")
    found = judge(index)
    assert len(found.sites) >= 150
    assert found.precision >= 0.95
    assert found.recall >= 0.95
