"""Where the bytes of a frame are copied on its path: the calls of copying functions along the walk.

The index finds the calls. What a call copies (the frame, a header …) is in `WHAT`, for the functions of QEMU
and libslirp that were read; a call that is not there is kept, and what it copies is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from qtrace.model import Path, Role, Step
from qtrace.store.index import FunctionRow, Index

__all__ = ["COUNTED_AS", "WHAT", "Copied", "Copy", "Place", "copies_on"]


class Copied(StrEnum):
    """What a call copies."""

    FRAME = "frame"
    PIECES = "pieces"  # the frame, where it lies in several pieces
    QUEUED = "queued"  # the frame, where it has to wait
    SHORT = "short"  # the frame, where it is shorter than the least that Ethernet has
    DATA = "data"  # what a stream has of it, at a library's socket
    FRAGMENT = "fragment"  # the frame, where it is cut into fragments
    SPECIAL = "special"  # its data, where it has IP options or is urgent
    HEADER = "header"
    DESCRIPTOR = "descriptor"
    NOTHING = "nothing"  # of the frame: the list of its pieces, or another frame
    UNKNOWN = "unknown"


# Function that copies -> the function at which the instrument `copies` counts it (include/qemu/iov.h,
# include/sysemu/dma.h); empty for one that has no probe, as compilers put it into its callers.
COUNTED_AS = {
    **dict.fromkeys(("iov_to_buf", "iov_to_buf_full"), "iov_to_buf_full"),
    **dict.fromkeys(("iov_from_buf", "iov_from_buf_full"), "iov_from_buf_full"),
    **dict.fromkeys(("pci_dma_read", "pci_dma_write", "pci_dma_rw"), "address_space_rw"),
    **{name: name for name in ("qemu_net_queue_append", "qemu_net_queue_append_iov")},
    **dict.fromkeys(("memcpy", "memmove"), ""),
}
# (caller, function that copies) -> what it copies of a frame. Where several calls of one function copy
# several things, the most of them.
WHAT = {
    ("virtio_net_flush_tx", "iov_to_buf"): Copied.HEADER,
    ("virtio_net_receive_rcu", "iov_from_buf"): Copied.FRAME,
    ("receive_header", "iov_from_buf"): Copied.HEADER,
    ("nc_sendv_compat", "iov_to_buf"): Copied.PIECES,
    ("qemu_net_queue_send", "qemu_net_queue_append"): Copied.QUEUED,
    ("qemu_net_queue_send_iov", "qemu_net_queue_append_iov"): Copied.QUEUED,
    ("tap_receive_iov", "memcpy"): Copied.NOTHING,
    ("eth_pad_short_frame", "memcpy"): Copied.SHORT,
    ("start_xmit", "pci_dma_read"): Copied.DESCRIPTOR,
    ("process_tx_desc", "pci_dma_read"): Copied.FRAME,
    ("process_tx_desc", "memmove"): Copied.HEADER,
    ("xmit_seg", "memmove"): Copied.HEADER,
    ("xmit_seg", "memcpy"): Copied.HEADER,
    ("txdesc_writeback", "pci_dma_write"): Copied.DESCRIPTOR,
    ("e1000_receive_iov", "pci_dma_read"): Copied.DESCRIPTOR,
    ("e1000_receive_iov", "pci_dma_write"): Copied.FRAME,
    ("e1000_receive_iov", "iov_to_buf"): Copied.HEADER,
    ("e1000_receive_iov", "iov_from_buf"): Copied.HEADER,
    ("e1000_receive_iov", "memmove"): Copied.HEADER,
    ("slirp_input", "memcpy"): Copied.FRAME,
    ("m_inc", "memcpy"): Copied.NOTHING,
    ("arp_input", "memcpy"): Copied.NOTHING,
    ("ip_stripoptions", "memmove"): Copied.SPECIAL,
    ("tcp_dooptions", "memcpy"): Copied.HEADER,
    ("sbappendsb", "memcpy"): Copied.QUEUED,
    ("sosendoob", "memcpy"): Copied.SPECIAL,
    ("icmp_receive", "memmove"): Copied.NOTHING,
    ("sbcopy", "memcpy"): Copied.DATA,
    ("tcp_output", "memcpy"): Copied.HEADER,
    ("m_copy", "memcpy"): Copied.FRAGMENT,
    ("if_encap4", "memcpy"): Copied.HEADER,
    ("if_encap", "memcpy"): Copied.FRAME,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A call of a copying function: the caller, and where in the tree."""

    caller: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy on a path: `function` copies, called at `places` by one function. `counted_as` is the function
    at which it can be counted, empty for none. A `syscall` is counted itself, at the stage `host`; where a
    library makes it, it is not."""

    function: str
    what: Copied
    places: tuple[Place, ...]
    counted_as: str = ""
    syscall: bool = False


def copies_on(index: Index, path: Path) -> tuple[Copy, ...]:
    """The copies of a frame's bytes in QEMU, in its libraries as far as they are indexed, and between QEMU
    and the kernel, in the order of the path.

    A step's calls are looked at, and those of the functions of QEMU that it calls itself.
    """
    found: list[Copy] = []
    steps = {step.function for step in path.steps}
    for step in path.steps:
        if not step.file:
            if path.boundary.kind == "syscall" and step.function == path.boundary.name and step.call:
                place = Place(_caller(path, step), step.call.file, step.call.line)
                own = step.stage is Role.HOST
                what = Copied.FRAME if own else Copied.DATA
                found.append(Copy(step.function, what, (place,), step.function, own))
            continue
        for row in index.function(step.function, step.file):
            for caller in (row, *_helpers(index, row, steps)):
                found += [one for one in _calls(index, caller) if one not in found]
    return tuple(found)


def _caller(path: Path, step: Step) -> str:
    """The step before, which makes the system call."""
    return path.steps[path.steps.index(step) - 1].function


def _helpers(index: Index, row: FunctionRow, steps: set[str]) -> Iterator[FunctionRow]:
    """The functions that `row` calls directly and that are no steps, nor copy themselves; not one by which
    the frame would be delivered in another way."""
    seen = set()
    for edge in index.callees(row.id):
        called = index.function_by_id(edge.callee)
        known = called.name in steps or called.name in COUNTED_AS or called.id in seen
        if edge.kind == "direct" and called.file and not known:
            seen.add(called.id)
            if not any(call.field.startswith("NetClientInfo.") for call in index.callees(called.id)):
                yield called


def _calls(index: Index, caller: FunctionRow) -> Iterator[Copy]:
    """The copies that a function makes, each copying function once."""
    places: dict[str, list[Place]] = {}
    for edge in index.callees(caller.id):
        name = index.function_by_id(edge.callee).name
        if edge.kind == "direct" and name in COUNTED_AS and caller.name not in COUNTED_AS:
            places.setdefault(name, []).append(Place(caller.name, edge.file, edge.line))
    for name, calls in places.items():
        what = WHAT.get((caller.name, name), Copied.UNKNOWN)
        if what is not Copied.NOTHING:
            yield Copy(name, what, tuple(dict.fromkeys(calls)), COUNTED_AS[name])
