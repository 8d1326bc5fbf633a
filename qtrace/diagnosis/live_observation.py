"""A QEMU that runs becomes an observation: recorded as `qtrace record` does, with its default budget."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from qtrace.diagnosis.observation import Observation
from qtrace.diagnosis.run_observation import observations
from qtrace.measure.effort import Effort
from qtrace.measure.measured_nic import MeasuredNic
from qtrace.measure.qemu_process import QemuProcess
from qtrace.measure.record import record_process
from qtrace.progress import Progress
from qtrace.store.run import RunReader
from qtrace.trace.budget.overhead_budget import default_budget
from qtrace.trace.session.level import Level

__all__ = ["CPU_HERTZ", "observe"]

CPU_HERTZ = 199  # as record has it
# Of the level full: what costs nothing where it does not happen, and says much where it does.
_ALSO = frozenset({"retransmissions", "iotlb_misses"})


def observe(
    process: QemuProcess,
    nics: Sequence[MeasuredNic],
    seconds: float,
    progress: Progress,
    command: Sequence[str] = (),
    folder: Path | None = None,
    effort: Effort | None = None,
) -> Observation:
    """Look at the process for so long; nothing is sent, and no monitor is asked. The run stays in `folder`
    where one is given. Raises as `record_process`."""
    wanted = effort or Effort(Level.STAGES, default_budget(Level.STAGES), CPU_HERTZ, also=_ALSO)
    with _kept(folder) as place:
        record_process(process, nics, seconds, place, progress, command, wanted)
        return observations(RunReader.open(place))[0]


@contextlib.contextmanager
def _kept(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="qtrace-why-") as name:
        yield Path(name) / "run"
