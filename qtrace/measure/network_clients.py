"""The network clients of a running QEMU: joins binary, index and memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from qtrace.binary.file.elf import Elf
from qtrace.binary.symbols.client_list import client_list
from qtrace.errors import BinaryError, StoreError, TargetError
from qtrace.store.index import Index
from qtrace.trace.qemu.layout import CLIENTS
from qtrace.trace.qemu.memory import Memory
from qtrace.trace.qemu.net_clients import NetClient, read_clients
from qtrace.trace.qemu.target import Target

__all__ = ["clients_of"]

_DRIVER = "NET_CLIENT_DRIVER_"


def clients_of(target: Target, program: Path, index: Index) -> Callable[[], list[NetClient]]:
    """A function that reads the present clients at each call; `program` is the file that the process runs.

    It raises TargetError if they cannot be read, or the process has ended.
    """
    layout = _layout(index)
    drivers = {
        value: name.removeprefix(_DRIVER).lower().replace("_", "-")
        for name, value in index.enum("NetClientDriver").items()
        if not name.endswith("_MAX")
    }
    head: int | None = None

    def read() -> list[NetClient]:
        nonlocal head
        if head is None:
            head = _head(target, program)
        with Memory(target.pid) as memory:
            target.require()  # so the memory is this process's, not that of a later one with its pid
            return read_clients(memory, head, layout, drivers)

    return read


def _head(target: Target, program: Path) -> int:
    """The address of the list's head in the process's memory."""
    try:
        elf = Elf(program)
        place = client_list(elf)
        code = next((part for part in elf.segments if part.executable), None)
    except BinaryError as exc:
        raise TargetError(f"process {target.pid}: {exc}") from exc
    if place is None or code is None:
        raise TargetError(f"process {target.pid}: QEMU's list of network clients was not found")
    return place + target.address_of(program, code.offset) - code.address


def _layout(index: Index) -> dict[str, int]:
    found = {}
    for name in CLIENTS:
        with contextlib.suppress(StoreError):
            if name.startswith("sizeof("):
                found[name] = index.struct(name[7:-1])[1]
            else:
                struct, _, field = name.partition(".")
                found[name] = index.offset_of(struct, field)
    return found
