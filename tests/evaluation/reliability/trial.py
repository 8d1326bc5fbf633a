"""A trial: something is done to QEMU, the tracer or the host; what happens is asserted and written down.

The quick ones are tests (test_reliability.py); all of them are the page docs/reliability.md (page.py).
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from qtrace.campaign.brief import make_brief
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.measure.attacher import Attacher
from qtrace.model import Cell, Path
from qtrace.store.index import Index
from qtrace.trace.session.engine import open_engine

__all__ = ["TRIALS", "Bench", "Report", "Trial", "Untried", "trial"]


class Untried(Exception):
    """This machine cannot show it; the message says why."""


@dataclass
class Report:
    """What a trial says: the commands that it ran, as a shell would take them, and what it saw."""

    commands: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def ran(self, words: Sequence[str]) -> None:
        text = shlex.join(words)
        if text not in self.commands:
            self.commands.append(text)

    def saw(self, text: str) -> None:
        self.seen.append(text)


class Bench:
    """What trials share: an index, one compiled engine, and a guest that each of them leaves as it was."""

    def __init__(self, index: Index, attacher: Attacher, network: Network, full: bool = False) -> None:
        self.index, self.attacher, self.network = index, attacher, network
        self.full = full  # as long as the page wants it, not as a test can afford

    def paths(self, network: Network) -> list[Path]:
        """The paths of a network's NIC, both ways."""
        cell = Cell(network.nic, network.netdev, network.datapath, None, "rr")
        return make_brief([cell], {"": self.index}, "", ()).paths_of(cell)


@contextlib.contextmanager
def open_bench(index: Index, full: bool = False) -> Iterator[Bench]:
    """A bench with an engine and a guest of its own."""
    with (
        open_engine() as engine,
        open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network,
    ):
        yield Bench(index, Attacher(engine, index), network, full)


@dataclass(frozen=True)
class Trial:
    """`quick` is whether it is a test too."""

    group: str
    name: str
    run: Callable[[Bench, Report], None]
    quick: bool


TRIALS: list[Trial] = []
_Run = Callable[[Bench, Report], None]


def trial(group: str, name: str, *, quick: bool = True) -> Callable[[_Run], _Run]:
    """Registers a function as a trial; its docstring says what is expected."""

    def register(run: _Run) -> _Run:
        TRIALS.append(Trial(group, name, run, quick))
        return run

    return register
