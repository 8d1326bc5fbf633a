"""Counts are exact for other pairs too, one guest each; for large frames, jumbo frames and segments."""

from __future__ import annotations

import pytest
from exact import Kind, open_traced, pass_frames, pass_segments, set_mtu, wrong

from qtrace.measure.attacher import Attacher
from qtrace.model import Direction
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

# docs/reliability.md has every NIC on a tap, and every back end in every form.
MORE = (
    *(Kind("e1000", "socket", "listen"), Kind("virtio-net-pci", "dgram", "mcast")),
    *(Kind("e1000", "l2tpv3"), Kind("usb-net", "tap")),
)


@pytest.mark.parametrize("kind", MORE, ids=str)
def test_every_stage_of_other_pairs_too(kind: Kind, attacher: Attacher, index: Index) -> None:
    """The smallest frames one way and the largest the other."""
    with open_traced(kind, attacher, index) as traced:
        for direction, size in ((Direction.TX, 60), (Direction.RX, 1514)):
            window = pass_frames(traced, direction, size)
            assert not wrong(window), direction
            rows = [row for row in window.rows if (row["direction"], row["stage"]) == (direction, "deliver")]
            if not kind.echoes:  # there its own frames, of another size, are among them
                assert [row["bytes"] // row["frames"] - size in (0, 10, 12) for row in rows] == [True]


def test_large_frames_and_segments(attacher: Attacher, index: Index) -> None:
    """What one stage calls a frame may be many segments on a wire: said by the bytes of each."""
    with open_traced(Kind("virtio-net-pci", "tap"), attacher, index) as traced:
        for direction in Direction:
            window = pass_segments(traced, direction)
            assert not wrong(window), direction
            (row,) = (
                row for row in window.rows if (row["direction"], row["stage"]) == (direction, "deliver")
            )
            assert row["bytes"] / row["frames"] > 2 * 1514  # offloads are on: each is of several segments
            assert row["bytes"] >= window.payload
            (host,) = (row for row in window.rows if (row["direction"], row["stage"]) == (direction, "host"))
            assert "segments" in host["note"]
        set_mtu(traced.network, 9000)
        for direction in Direction:
            assert not wrong(pass_frames(traced, direction, 9014, 101)), direction
