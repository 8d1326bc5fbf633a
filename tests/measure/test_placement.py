"""Which functions of a path get a probe, where the compiler has put copies of one into its callers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from contained import NEXT

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite
from qtrace.measure.placement import Placement
from qtrace.model import PARTLY, Role
from qtrace.path.both_ways import both_ways
from qtrace.store.index import Index

_HANDLER = ("pci_irq_handler", "hw/pci/pci.c")


@pytest.fixture(scope="module")
def built(newer: Index, skip_or_fail: Callable[[str], NoReturn]) -> Path:
    """The program that Debian built from the source of the newer index; it is read only."""
    try:
        package = distribution().fetch_package("qemu-system-x86", suite=NEXT)
    except MissingPrerequisite as exc:
        skip_or_fail(f"Debian's QEMU of {NEXT} is not to be had: {exc}")
    return package / "usr/bin/qemu-system-x86_64"


@pytest.mark.parametrize("nic", ["tulip", "pcnet", "ne2k_pci"])
def test_what_is_reached_by_a_pointer_is_measured_wherever_else_it_is_inlined(
    newer: Index, built: Path, nic: str
) -> None:
    """QEMU 10.0 as Debian builds it has the handler of a PCI card's line inlined in one of its callers too;
    the line holds a pointer, which leads to the body. A call by name may be in a copy: no probe then."""
    placement = Placement(newer, [built])
    found = placement.locate(*_HANDLER)
    assert found is not None
    symbol = found[1]
    assert symbol.confidence == PARTLY and "inlined too in pci_device_deassert_intx" in symbol.evidence
    assert placement.locate_in_program(*_HANDLER) is None

    paths = both_ways(newer, nic, "tap", "qemu")
    assert [way.function for way in paths[0].ways if way.pointed] == ["pci_irq_handler"]
    probes, unplaced = placement.probes(paths)
    raised = {probe.direction for probe in probes if probe.function == "pci_irq_handler"}
    assert raised == {path.direction for path in paths}
    assert {probe.stage for probe in probes if probe.function == "pci_irq_handler"} == {Role.INTERRUPT}
    assert "pci_irq_handler" not in {probe.function for probe, _ in unplaced}

    by_name = [replace(path, ways=tuple(replace(way, pointed=False) for way in path.ways)) for path in paths]
    probes, unplaced = placement.probes(by_name)
    assert "pci_irq_handler" not in {probe.function for probe in probes}
    (why,) = {reason for probe, reason in unplaced if probe.function == "pci_irq_handler"}
    assert "not all calls reach it" in why and "pci_device_deassert_intx" in why
