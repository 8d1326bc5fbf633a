"""What runs measured of the pairs of a release."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qtrace.errors import StoreError
from qtrace.model import Path

if TYPE_CHECKING:  # imports pandas; an atlas without a run does without
    from qtrace.report.answers import Answers
    from qtrace.report.measured import Measured
    from qtrace.store.run import RunReader

__all__ = ["NO_FIGURES", "Figures", "Measurable", "RunFigures", "read_figures"]

Measurable = tuple[str, Path]  # a type of a NIC, and the path of that NIC
_Key = tuple[str, str, str, str, str]  # release, NIC, netdev, datapath, direction


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's measurements of one path; `path` has the type of the NIC that was measured."""

    path: Path
    measured: Measured
    answers: Answers


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The figures by path. Of several runs that measured one path, the last one given."""

    known: Mapping[_Key, Figures]

    def of(self, release: str, path: Path) -> Figures | None:
        """The figures of a path, if some run has it."""
        return self.known.get((release, path.nic, path.netdev, path.datapath, path.direction.value))

    def pairs(self, release: str) -> frozenset[tuple[str, str]]:
        """(NIC, netdev) of what some run has measured."""
        return frozenset((key[1], key[2]) for key in self.known if key[0] == release)


NO_FIGURES = RunFigures({})


def read_figures(
    runs: Sequence[RunReader], releases: Mapping[str, tuple[str, Sequence[Measurable]]]
) -> RunFigures:
    """The figures of these runs. `releases`: release -> (QEMU's version, what may have been measured).

    Raises StoreError for a run of which no release has the QEMU.
    """
    from qtrace.report.answers import Answers
    from qtrace.report.measured import measured

    found: dict[_Key, Figures] = {}
    for run in runs:
        version = str(dict(run.meta["conditions"]).get("QEMU", "")).split(" ")[0]
        mine = [name for name, (qemu, _) in releases.items() if qemu == version]
        if not mine:
            raise StoreError(
                f"the run {run.path} was made with QEMU {version or 'of an unknown version'}, "
                f"and the atlas has {', '.join(releases)}",
                hint=f"add --index {version}" if version else "leave the run out",
            )
        answers = Answers(run)
        measured_paths = {(path.nic, path.netdev, path.datapath, path.direction) for path in answers.paths}
        for name in mine:
            for kind, path in releases[name][1]:
                if (kind, path.netdev, path.datapath, path.direction) not in measured_paths:
                    continue
                typed = replace(path, nic=kind)
                key = (name, path.nic, path.netdev, path.datapath, path.direction.value)
                with contextlib.suppress(StoreError):  # a path of the run that was not measured
                    found[key] = Figures(typed, measured(run, typed), answers)
    return RunFigures(found)
