"""Every walk stays within functions that this NIC, this netdev and the core can run: all pairs, all releases.

Three judges that the walk does not ask: QEMU's own Kconfig (a NIC's walk must be the same in a build with no
other NIC), the tables of the other back ends, and the places where functions are handed along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtrace.errors import NoPath
from qtrace.model import Direction, Step
from qtrace.model import Path as Walk
from qtrace.path.catalogue import Nic, nics
from qtrace.path.netdevs import find_netdev, netdev_names
from qtrace.path.walk import walk
from qtrace.store.index import Index

Walks = list[tuple[Nic, Walk]]
# QEMU 7.2's hw/net/meson.build calls a symbol otherwise than its Kconfig.
SPELT = {"CONFIG_LASI_I82596": "CONFIG_LASI_82596"}
HANDED = re.compile(r"argument \d+ of (\w+) is set")


@pytest.fixture(scope="module", params=["index", "newer", "newest"])
def release(request: pytest.FixtureRequest) -> Index:
    found: Index = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def walks(release: Index) -> Walks:
    found = []
    for nic in nics(release):
        for netdev in [*netdev_names(release), "socket-stream"]:
            for direction in Direction:
                try:
                    found.append((nic, walk(release, nic.name, netdev, direction=direction)))
                except NoPath:
                    continue
    return found


class Kconfig:
    """Which symbols one symbol brings with it: `select` in the tree's Kconfig files."""

    def __init__(self, root: Path) -> None:
        self.selects: dict[str, set[str]] = {}
        for path in root.glob("hw/**/Kconfig"):
            name = ""
            for line in path.read_text(errors="replace").splitlines():
                words = line.split()
                if words[:1] == ["config"]:
                    name = words[1]
                elif words[:1] == ["select"] and name:
                    self.selects.setdefault(f"CONFIG_{name}", set()).add(f"CONFIG_{words[1]}")

    def with_only(self, condition: str) -> set[str]:
        """The symbols that are on in a build for the sake of one device."""
        found: set[str] = set()
        todo = re.findall(r"CONFIG_\w+", condition)
        while todo:
            symbol = todo.pop()
            if symbol not in found:
                found.add(symbol)
                todo += self.selects.get(SPELT.get(symbol, symbol), ())
        return found

    @staticmethod
    def builds(condition: str, symbols: set[str]) -> bool:
        return not condition or any(
            set(re.findall(r"CONFIG_\w+", one)) <= symbols for one in condition.split(" or ")
        )


def test_there_are_walks_both_ways_of_every_nic(release: Index, walks: Walks) -> None:
    assert {nic.name for nic, _ in walks} == {nic.name for nic in nics(release)}
    assert len(walks) == 2 * len(nics(release)) * len({path.netdev for _, path in walks}) > 600


def test_a_walk_is_that_of_a_build_without_other_nics(release: Index, walks: Walks) -> None:
    kconfig = Kconfig(Path(release.meta["root"]))
    judged = 0
    for nic, path in walks:
        symbols = kconfig.with_only(release.built_with(nic.tables[0].file)[0])
        for file in nic.files:
            symbols |= kconfig.with_only(release.built_with(file)[0])
        for step in path.steps:
            if step.file.startswith(("hw/net/", "hw/usb/")):
                condition = release.built_with(step.file)[0]
                where = (nic.name, path.netdev, path.direction, step.function)
                assert kconfig.builds(condition, symbols), (where, condition)
                judged += bool(condition)
    assert judged > 3 * len(walks)


def test_no_walk_goes_through_another_back_end_s_file(release: Index, walks: Walks) -> None:
    tables = {table.file for table in release.client_tables()}
    judged = 0
    for nic, path in walks:
        mine = {table.file for table in find_netdev(release, path.netdev).tables}
        mine |= {table.file for table in nic.tables}
        for step in path.steps:
            if step.file in tables:
                assert step.file in mine, (nic.name, path.netdev, path.direction, step.function)
                judged += 1
    assert judged > 3 * len(walks)


def test_a_parameter_is_called_with_what_the_walk_gave(release: Index, walks: Walks) -> None:
    """The place where the function was handed over stands in the body of a step before."""
    judged = 0
    for nic, path in walks:
        for number, step in enumerate(path.steps):
            for giver in handed_by(release, step):
                before = {earlier.function for earlier in path.steps[:number]}
                assert giver in before, (nic.name, path.netdev, path.direction, step.function, giver)
                judged += 1
    users = {"e1000e", "igb", "vmxnet3"} if release.function("net_tx_pkt_send_custom") else set()
    assert judged == sum(nic.name in users and path.direction is Direction.TX for nic, path in walks)


def handed_by(release: Index, step: Step) -> Iterator[str]:
    for why in step.call.evidence if step.call else ():
        if HANDED.match(why.why):
            inside = [
                row
                for row in map(release.function_by_id, release.functions_in([why.file]))
                if row.line <= why.line <= release.end_of(row.name, row.file)
            ]
            yield max(inside, key=lambda row: row.line).name
