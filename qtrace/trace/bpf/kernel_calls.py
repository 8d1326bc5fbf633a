"""bpf(2) and perf_event_open(2), called without bcc: an error of the kernel becomes an OSError, and nothing
is printed."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os

__all__ = ["KPROBE", "PERF_EVENT", "RAW_TRACEPOINT", "bpf", "load", "on_perf_event", "on_raw_tracepoint"]

KPROBE, PERF_EVENT, RAW_TRACEPOINT = 2, 7, 17  # enum bpf_prog_type of include/uapi/linux/bpf.h
_SYS_BPF, _SYS_PERF_EVENT_OPEN = 321, 298  # x86-64
_PROG_LOAD, _RAW_TRACEPOINT_OPEN = 5, 17
_ENABLE, _SET_BPF = 0x2400, 0x40042408  # PERF_EVENT_IOC_*
_CLOSE_ON_EXEC = 8  # PERF_FLAG_FD_CLOEXEC
_INSTRUCTION = 8  # bytes
_TRIES = 5  # as in libbpf
_NAME = 15  # bytes of a program's name that the kernel stores


class _Load(ctypes.Structure):
    """The beginning of union bpf_attr for BPF_PROG_LOAD."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("number", ctypes.c_uint32),
        ("instructions", ctypes.c_char_p),
        ("licence", ctypes.c_char_p),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log", ctypes.c_void_p),
        ("version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
        ("device", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 56),
    )


class _RawTracepoint(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("program", ctypes.c_uint32), ("rest", ctypes.c_uint32))


class _PerfEvent(ctypes.Structure):
    """The beginning of struct perf_event_attr (include/uapi/linux/perf_event.h)."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
        ("sample", ctypes.c_uint64),
        ("read", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup", ctypes.c_uint32),
        ("breakpoint", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("offset", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 5),
    )


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char] | ctypes.Structure) -> int:
    """A descriptor, or another result of the command. Raises OSError."""
    return _call(_SYS_BPF, command, ctypes.byref(attributes), ctypes.sizeof(attributes))


def load(
    name: str,
    kind: int,
    code: bytes,
    licence: bytes,
    version: int = 0,
    attach_type: int = 0,
    log: ctypes.Array[ctypes.c_char] | None = None,
) -> int:
    """Load a program and return its descriptor; `log` receives the verifier's log. Raises
    OSError."""
    attributes = _Load(
        kind=kind,
        number=len(code) // _INSTRUCTION,
        instructions=code,
        licence=licence,
        version=version,
        name=name.encode()[:_NAME],
        attach_type=attach_type,
    )
    if log is not None:
        attributes.log_level, attributes.log_size, attributes.log = 1, len(log), ctypes.addressof(log)
    for _ in range(_TRIES - 1):
        with contextlib.suppress(BlockingIOError):  # interrupted by a signal: try again
            return bpf(_PROG_LOAD, attributes)
    return bpf(_PROG_LOAD, attributes)


def on_raw_tracepoint(program: int, event: str) -> int:
    """Run a program at a tracepoint, without its formatted record, until the descriptor is closed. Raises
    OSError."""
    return bpf(_RAW_TRACEPOINT_OPEN, _RawTracepoint(name=event.encode(), program=program))


def on_perf_event(
    program: int,
    kind: int,
    config: int,
    *,
    name: bytes | None = None,
    offset: int = 0,
    hertz: int = 0,
    pid: int = -1,
    cpu: int = -1,
) -> int:
    """Run a program at each of these events, or `hertz` times a second, until the descriptor is closed.
    `name` and `offset` are the place of a probe. Raises OSError."""
    attributes = _PerfEvent(
        kind=kind,
        size=ctypes.sizeof(_PerfEvent),
        config=config,
        period=hertz or 1,
        flags=1 << 10 if hertz else 0,  # the period is a frequency
        wakeup=1,
        name=name,
        offset=offset,
    )
    fd = _call(_SYS_PERF_EVENT_OPEN, ctypes.byref(attributes), pid, cpu, -1, _CLOSE_ON_EXEC)
    try:
        fcntl.ioctl(fd, _SET_BPF, program)
        fcntl.ioctl(fd, _ENABLE, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    found = int(libc.syscall(ctypes.c_long(number), *wide))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
