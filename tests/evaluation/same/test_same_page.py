"""The page's verdict on what was compared (rows are made up)."""

from __future__ import annotations

from typing import Any

import changes
from same_counts import Compared, as_promised, counts

CELLS = [("e1000", "both"), ("e1000", "rx"), ("virtio-net-pci", "both"), ("virtio-net-pci", "rx")]


def pair(kind: str, *verdicts: str) -> Compared:
    rows: list[dict[str, Any]] = [
        {"nic": nic, "netdev": "tap", "way": way, "workload": "tcp", "verdict": verdict}
        for (nic, way), verdict in zip(CELLS, verdicts, strict=False)
    ]
    return Compared(kind, rows)


def test_two_wrong_of_forty_and_one_missed_of_twenty_are_as_promised_and_no_more() -> None:
    same = [pair(changes.AGAIN, "same", "not known", "same", "same") for _ in range(9)]
    found = [pair("delay", "slower") for _ in range(18)]
    last = [pair("mtu", "slower"), pair("mtu", "not known")]
    two = pair(changes.AGAIN, "slower", "faster", "same", "same")
    assert as_promised([*same, two, *found, *last])
    assert counts([*same, two, *found, *last]) == {changes.AGAIN: (40, 2), "delay": (18, 18), "mtu": (2, 1)}
    three = pair(changes.AGAIN, "slower", "faster", "slower", "same")
    assert not as_promised([*same, three, *found, *last])
    assert not as_promised([*same, two, *found, pair("mtu", "faster"), last[1]])


def test_a_cell_with_two_metrics_is_one_comparison() -> None:
    both = Compared("delay", pair("delay", "same").rows + pair("delay", "slower").rows)
    assert counts([both]) == {"delay": (1, 1)}
