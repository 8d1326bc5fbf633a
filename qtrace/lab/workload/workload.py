"""The definition of a workload. Each is a file beside this one, with a `WORKLOAD`; `workloads()` finds it."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import qtrace.lab.workload
from qtrace.errors import LabError
from qtrace.lab.link.connection import Network
from qtrace.model import PLAIN, Direction, Setting

__all__ = ["Measured", "Metric", "Run", "Workload", "clients", "measured", "workloads"]

# metric, value, unit
Measured = tuple[str, float, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a workload; `better` is the better of two values, empty for a count."""

    name: str
    unit: str
    better: Literal["more", "less", ""] = ""
    headline: bool = False


class Run(Protocol):
    """Runs the client in the guest, against the workload's server in the network's namespace."""

    def __call__(
        self, network: Network, direction: Direction | None, seconds: float, setting: Setting = PLAIN
    ) -> tuple[list[Measured], dict[str, Any]]:
        """The metrics, and the document from which they were read. Of `setting`, it sees to the workload's
        own `axes`. Raises LabError."""


@dataclass(frozen=True, slots=True)
class Workload:
    """`server` is the command that listens on TCP `port` at the other end, empty if none is needed; `clients`
    are the programs that run in the guest. `directed`: it runs in one direction at a time. `seconds` is the
    default duration of a measurement. `standard`: it is included in a plan that names no workloads. `axes`
    are those of a `Setting` that a plan may choose for it: `size`, `rate`, `streams`."""

    name: str
    server: tuple[str, ...]
    port: int
    clients: tuple[str, ...]
    metrics: tuple[Metric, ...]
    run: Run
    directed: bool = False
    seconds: float = 2.0
    least_seconds: int = 1
    standard: bool = True
    axes: tuple[str, ...] = ()


def measured(metrics: Sequence[Metric], values: Mapping[str, float | None]) -> list[Measured]:
    """The values in the order and with the units of `metrics`, without those that are None: not told is
    not 0. Raises LabError if the names differ."""
    if values.keys() != {metric.name for metric in metrics}:
        raise LabError(f"measured {', '.join(values)}, not {', '.join(metric.name for metric in metrics)}")
    told = ((metric, values[metric.name]) for metric in metrics)
    return [(metric.name, value, metric.unit) for metric, value in told if value is not None]


def clients(names: Iterable[str]) -> tuple[str, ...]:
    """The programs that a guest needs for these workloads."""
    known = workloads()
    return tuple(sorted({client for name in names if name in known for client in known[name].clients}))


@functools.cache
def workloads() -> Mapping[str, Workload]:
    """Name -> workload: first those of a plan that names none, then the others by name."""
    found: list[Workload] = []
    for item in pkgutil.iter_modules(qtrace.lab.workload.__path__):
        module = importlib.import_module(f"qtrace.lab.workload.{item.name}")
        if isinstance(workload := getattr(module, "WORKLOAD", None), Workload):
            found.append(workload)
    return {
        one.name: one for one in sorted(found, key=lambda one: (not one.standard, not one.directed, one.name))
    }
