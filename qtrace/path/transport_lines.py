"""The interrupt line of a virtio transport, for a device whose type does not say on which transport it is.

`virtio-net-device` (hw/net/virtio-net.c) may be on virtio-mmio, which raises a line, as on any other bus.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.model import Evidence, Path, Role, Way
from qtrace.path import stage_functions as stages
from qtrace.path.catalogue import find_nic
from qtrace.store.index import Index

__all__ = ["transport_lines"]

_LINE = "qemu_set_irq"
_TELLS = "VirtioBusClass.notify"  # how a transport of virtio tells the guest (hw/virtio/virtio-bus.h)


def transport_lines(index: Index, path: Path) -> Iterator[Way]:
    """The interrupt by a line of a transport; nothing for a NIC that says on which transport it is."""
    if not _is_bare_virtio(index, path):
        return
    for value, _ in sorted(index.registrars(_TELLS)):
        tells = index.function_by_id(int(value))
        for edge in index.callees(tells.id):
            row = index.function_by_id(edge.callee)
            if row.name == _LINE:
                why = Evidence(edge.file, edge.line, f"{tells.name} calls {_LINE}")
                yield Way(Role.INTERRUPT, row.name, row.file, row.line, "", (why,))


def _is_bare_virtio(index: Index, path: Path) -> bool:
    """Whether the NIC's type is the virtio device itself, which its own file registers."""
    queues = {stages.DEQUEUE[0], stages.ENQUEUE[0]}
    if not any(step.function in queues for step in path.stages):
        return False
    files = {table.file for table in find_nic(index, path.nic).tables}
    rows = (row for file in files for row in index.tables_in(file))
    return any(
        (struct, field, value) == ("TypeInfo", "name", path.nic) for _, _, struct, field, _, value, _ in rows
    )
