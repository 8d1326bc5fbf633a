"""Several paths in one process: one order of functions that fits each of them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from qtrace.model import Direction
from qtrace.path.walk import walk
from qtrace.store.index import Index
from qtrace.trace.session.level import Level
from qtrace.trace.session.probe_plan import merge, probes_for


@pytest.mark.parametrize("level", [Level.STAGES, Level.FULL])
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("other", ["virtio-net-pci", "e1000", "rtl8139", "pcnet", "vmxnet3"])
def test_the_stages_of_each_path_keep_their_order(
    index: Index, other: str, direction: Direction, level: Level
) -> None:
    """vmxnet3 comes back to its completion: at the level full that was a circle with any other card."""
    paths = [
        walk(index, nic, netdev, direction=direction)
        for nic, netdev in (("vmxnet3", "tap"), (other, "user"), ("ne2k_pci", "socket"))
    ]
    plans = [probes_for(path, lambda *_: None, lambda *_: None, level) for path in paths]
    probes, unplaced = merge(plans)
    position = {probe.function: probe.position for probe in [*probes, *(probe for probe, _ in unplaced)]}
    for path in paths:
        stages = [step.function for step in path.stages]
        assert len(stages) > 3
        assert all(position[one] < position[next_one] for one, next_one in pairwise(stages)), stages
