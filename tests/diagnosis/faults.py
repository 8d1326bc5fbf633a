"""All faults, by guest."""

from __future__ import annotations

from collections.abc import Iterator

import faults_that_slow  # noqa: F401  registers its faults
import faults_that_stop  # noqa: F401
from bed import Form
from fault import FAULTS, Fault

from qtrace.measure.effort import Effort
from qtrace.trace.session.level import Level

__all__ = ["FAULTS", "Fault", "effort_of", "in_order"]


def effort_of(one: Fault, full: bool) -> Effort | None:
    """Another than `why` has by default, or None."""
    return Effort(Level.FULL, cpu_hertz=199) if one.cause == "tracing-dear" and full else one.effort


def in_order() -> Iterator[tuple[Form, list[Fault]]]:
    """The faults by guest; one after which its guest is of no use stands last."""
    forms: dict[Form, list[Fault]] = {}
    for one in FAULTS:
        forms.setdefault(one.form, []).append(one)
    for form, faults in forms.items():
        yield form, sorted(faults, key=lambda one: one.last)
