"""The cost of handing out blocks is that of this many blocks, each done."""

from __future__ import annotations

from pathlib import Path

import pytest
from block_cost import PARTS, Cost, measure, parts_of

pytest.importorskip("distributed", reason="needs the Python package distributed")


@pytest.mark.slow
@pytest.mark.needs("setpriv")
def test_every_block_is_in_the_cost(tmp_path: Path) -> None:
    cost = measure(tmp_path, 20)
    assert len([*(tmp_path / "run.blocks").glob("virtio-net-pci+*/run.json")]) == 20
    # The parts and the commands are the campaign without its beginning: the first part has one block, the
    # others have two. A command may be shorter than what the time of a file tells, some milliseconds.
    first, *others = cost.parts
    parts = first + 2 * sum(others)
    assert 0 < parts < cost.whole and 0 <= 20 * cost.command < cost.whole + 0.1 - parts
    assert all(1 < idle <= most for idle, most in cost.memory.values())


def test_a_part_is_from_end_to_end_without_the_commands() -> None:
    """Each block ends 5 s after the one before, of which its command takes 2; the first begins at 100."""
    assert parts_of([(100.0 + 5 * number, 2.0) for number in range(30)]) == (3.0,) * PARTS


def test_the_interval_is_student_s_over_the_parts() -> None:
    cost = Cost(100, 1.0, (0.01,) * 5 + (0.03,) * 5, 0.005, 0.1, {})
    mean, half = cost.block
    # The sample's standard deviation is 0.01 * sqrt(10 / 9).
    assert mean == pytest.approx(0.02) and half == pytest.approx(2.262 * 0.01 / 3, rel=1e-6)
