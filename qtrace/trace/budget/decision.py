"""Keeping to a budget by numbers alone: may everything stay on, and if not, for how long is it off.

Nothing here knows a session or a clock; `regulator` asks and does.
"""

from __future__ import annotations

from dataclasses import dataclass

from qtrace.model import Probe
from qtrace.trace.bpf.calibrate import Cost
from qtrace.trace.budget.overhead_budget import cost_of
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["CYCLE", "FUNCTIONS", "JITTER", "LONGEST", "SHORTEST", "Load", "Switching", "dearest", "load_of"]

# How a stage is measured where its probe is on a function, of QEMU's or of vhost's in the kernel.
FUNCTIONS = ("uprobe", "uretprobe", "kprobe", "kretprobe")

CYCLE = 1.0  # seconds of window and pause that are aimed at
SHORTEST, LONGEST = 0.05, 0.5  # seconds of a window
JITTER = 0.25  # of a pause, by chance: it is never in step with traffic that comes in bursts
_MOST = 0.5  # of what all hits cost: a function beyond it that tells no frames is left out


@dataclass(frozen=True, slots=True)
class Load:
    """Of one processor: what probes of functions take (`taken`), and what they may (`allowed`)."""

    taken: float
    allowed: float

    @property
    def fits(self) -> bool:
        """Whether everything may stay on."""
        return self.taken <= self.allowed


def load_of(lately: Snapshot, cost: Cost, seconds: float, share: float) -> Load:
    """Of what was counted in the last `seconds`, with everything on; `share` is of all that probing may take.

    System calls are counted all the time; what they take is not there for functions, up to a half.
    """
    functions, calls = cost_of(lately, cost, seconds, seconds)
    return Load(functions / seconds, max(share - calls / seconds, share / 2))


@dataclass(frozen=True, slots=True)
class Switching:
    """Seconds that attaching (`on`) and detaching (`off`) took the last time: hits trap meanwhile, too."""

    on: float
    off: float

    def pause(self, load: Load, window: float, chance: float) -> float:
        """Seconds without probes after a `window`, so that the cycle keeps to the load that is allowed.

        `chance` is from 0 to 1; half is the mean.
        """
        trapped = self.on + window + self.off
        mean = trapped * load.taken / load.allowed - trapped
        return mean * (1 + JITTER * (2 * chance - 1))

    def next_window(self, load: Load) -> float:
        """Seconds of the next window, so that window and pause take about a cycle."""
        wanted = CYCLE * load.allowed / load.taken - self.on - self.off
        return min(max(wanted, SHORTEST), LONGEST)


def dearest(lately: Snapshot, cost: Cost, seconds: float) -> tuple[Probe, float] | None:
    """The probe that takes most of what functions took in `seconds` and tells no frames, with its share of
    that, if one does."""
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
