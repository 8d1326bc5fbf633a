"""The cost of handing out blocks is that of this many blocks, each done."""

from __future__ import annotations

from pathlib import Path

import pytest
from block_cost import Cost, measure

pytest.importorskip("distributed", reason="needs the Python package distributed")


@pytest.mark.slow
@pytest.mark.needs("setpriv")
def test_every_block_is_in_the_cost(tmp_path: Path) -> None:
    cost = measure(tmp_path, 20)
    assert len([*(tmp_path / "run.blocks").glob("virtio-net-pci+*/run.json")]) == 20
    # The parts are the campaign without its beginning; no block is faster than its own command can be.
    assert 0.3 * cost.whole < sum(cost.parts) * 2 < cost.whole * 20 / 19
    assert 0 < cost.alone < 10 * cost.block[0]
    assert all(1 < idle <= most for idle, most in cost.memory.values())


def test_the_interval_is_student_s_over_the_parts() -> None:
    cost = Cost(100, 1.0, (0.01,) * 5 + (0.03,) * 5, 0.005, 0.1, {})
    mean, half = cost.block
    # The sample's standard deviation is 0.01 * sqrt(10 / 9).
    assert mean == pytest.approx(0.02) and half == pytest.approx(2.262 * 0.01 / 3, rel=1e-6)
