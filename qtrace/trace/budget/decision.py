"""Pure decisions for keeping to a budget: whether all probes may stay attached, and else for how long not.

This module knows neither session nor clock; `regulator` asks it and acts.
"""

from __future__ import annotations

from dataclasses import dataclass

from qtrace.model import Probe
from qtrace.trace.bpf.calibrate import Cost
from qtrace.trace.budget.overhead_budget import cost_of
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["CYCLE", "FUNCTIONS", "JITTER", "LONGEST", "SHORTEST", "Load", "Switching", "dearest", "load_of"]

# Kinds of probes on a function, of QEMU or of vhost in the kernel.
FUNCTIONS = ("uprobe", "uretprobe", "kprobe", "kretprobe")

CYCLE = 1.0  # target length in seconds of a window and its pause
SHORTEST, LONGEST = 0.05, 0.5  # seconds of a window
JITTER = 0.25  # random share of a pause, so that it is never in step with traffic bursts
_MOST = 0.5  # share of the cost of all hits: a function above it that counts no frames is left out


@dataclass(frozen=True, slots=True)
class Load:
    """Shares of one processor: the cost of function probes (`taken`), and the limit for it (`allowed`)."""

    taken: float
    allowed: float

    @property
    def fits(self) -> bool:
        """Whether all probes may stay attached."""
        return self.taken <= self.allowed


def load_of(lately: Snapshot, cost: Cost, seconds: float, share: float) -> Load:
    """The load from the counts of the last `seconds`, with all probes attached; `share` is the limit for all
    probing.

    System calls are always counted; their cost is subtracted from the limit for functions, at most half of
    it.
    """
    functions, calls = cost_of(lately, cost, seconds, seconds)
    return Load(functions / seconds, max(share - calls / seconds, share / 2))


@dataclass(frozen=True, slots=True)
class Switching:
    """Seconds that the last attaching (`on`) and detaching (`off`) took: hits trap during both, too."""

    on: float
    off: float

    def pause(self, load: Load, window: float, chance: float) -> float:
        """Seconds without probes after a `window`, so that the cycle keeps to the allowed load.

        `chance` is from 0 to 1; a half gives the mean.
        """
        trapped = self.on + window + self.off
        mean = trapped * load.taken / load.allowed - trapped
        return mean * (1 + JITTER * (2 * chance - 1))

    def next_window(self, load: Load) -> float:
        """Seconds of the next window, so that window and pause together take about a cycle."""
        wanted = CYCLE * load.allowed / load.taken - self.on - self.off
        return min(max(wanted, SHORTEST), LONGEST)


def dearest(lately: Snapshot, cost: Cost, seconds: float) -> tuple[Probe, float] | None:
    """The function probe without frames that took more than half of the functions' cost in `seconds`, with
    its share of the cost; None if there is none."""
    spent, _ = cost_of(lately, cost, seconds, seconds)
    hit = cost.hit.at(seconds / max(1, lately.hits))
    probes: dict[str, Probe] = {}
    takes: dict[str, float] = {}
    frames: set[str] = set()
    for (_, slot), count in lately.counts.items():
        stage = lately.stages[slot]
        if stage.how in FUNCTIONS and not stage.reason:
            name = stage.probe.function
            probes[name] = stage.probe
            each = hit + (cost.step if stage.probe.stepped else 0.0)
            takes[name] = takes.get(name, 0.0) + count.calls * each
            frames.update((name,) if count.frames else ())
    name = max(takes.keys() - frames, key=lambda function: takes[function], default="")
    if not name or takes[name] <= _MOST * spent:
        return None
    return probes[name], min(1.0, takes[name] / spent)
