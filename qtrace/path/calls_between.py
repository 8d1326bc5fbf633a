"""`qtrace walk --from F --to G`: the shortest call chain between any two functions of the call graph."""

from __future__ import annotations

from qtrace.errors import NoPath
from qtrace.model import Step
from qtrace.path.core import core_of
from qtrace.path.route import Router
from qtrace.path.show import unknown
from qtrace.path.steps import Steps, named
from qtrace.store.index import Index

__all__ = ["between"]


def between(index: Index, first: str, last: str) -> tuple[Step, ...]:
    """The steps from `first` to `last`, including calls through pointers.

    Raises SourceError for a function that the index does not have, NoPath if there is no call chain.
    """
    starts = index.function(first)
    for name, rows in ((first, starts), (last, index.function(last))):
        if not rows:
            raise unknown(index, name)
    core = core_of(index)
    router = Router(index, core.net | core.bus | {row.file for row in starts})
    trail = router.route([row.id for row in starts], named({last}), limit=400)
    if trail is None:
        raise NoPath(
            f"no call chain leads from {first} to {last} in QEMU {index.meta['qemu']}",
            hint="'qtrace show --unresolved' lists the calls that could not be followed",
        )
    steps = Steps()
    steps.add(trail, last=None)
    return tuple(steps.steps)
