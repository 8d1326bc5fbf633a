"""Uprobes as BPF links of one process (BPF_TRACE_UPROBE_MULTI), which bcc does not support.

Advantages over a perf event: another process of the same binary is not trapped at all, and links can be
removed in parallel, while the kernel removes perf events one after another.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from pathlib import Path

from qtrace.trace.bpf.kernel_calls import KPROBE, bpf, load

__all__ = ["UPROBE_MULTI", "link_uprobe", "links_available"]

UPROBE_MULTI = 48  # enum bpf_attach_type of include/uapi/linux/bpf.h
_LINK_CREATE = 28
_RETURN = 1  # BPF_F_UPROBE_MULTI_RETURN
_ATTRIBUTES = 128  # bytes passed to the kernel, zero for its defaults
_NOTHING = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit


@functools.cache
def links_available() -> bool:
    """Whether the kernel has such links and restricts them to the threads of one process (Linux 6.10).

    Before, a link of a process ran for its first thread only; the test is the same as libbpf's.
    """
    if platform.machine() != "x86_64":
        return False
    try:
        program = load("qtrace_nothing", KPROBE, _NOTHING, b"GPL", attach_type=UPROBE_MULTI)
    except OSError:
        return False
    try:
        return [_refusal(program, pid) for pid in (0, -1)] == [errno.EBADF, errno.EINVAL]
    finally:
        os.close(program)


def link_uprobe(program: int, binary: Path, offset: int, pid: int, at_return: bool = False) -> int:
    """Run `program` (loaded for UPROBE_MULTI) at the byte `offset` of the file `binary` in process `pid`.

    Returns a descriptor; closing it removes the probe. Raises OSError.
    """
    path = ctypes.create_string_buffer(os.fsencode(binary))
    offsets = (ctypes.c_uint64 * 1)(offset)
    head = struct.pack("=IIII", program, 0, UPROBE_MULTI, 0)
    places = struct.pack("=QQQQ", ctypes.addressof(path), ctypes.addressof(offsets), 0, 0)
    given = head + places + struct.pack("=IIi", 1, _RETURN if at_return else 0, pid)
    return bpf(_LINK_CREATE, ctypes.create_string_buffer(given.ljust(_ATTRIBUTES, b"\0"), _ATTRIBUTES))


def _refusal(program: int, pid: int) -> int:
    """The errno with which the kernel refuses a link on a folder."""
    try:
        os.close(link_uprobe(program, Path("/"), 0, pid))
    except OSError as exc:
        return exc.errno or 0
    return 0
