"""The target's system calls by thread, name and kind of descriptor, from the raw tracepoint sys_exit."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Loss, Shared

__all__ = ["CLASSES", "DOES", "FAMILY", "SHARED", "Descriptor", "Does"]


class Descriptor(IntEnum):
    """Class of a descriptor. Streams and datagrams are separate, because only a datagram is a frame."""

    NONE = 0
    OTHER = 1
    TAP = 2
    STREAM = 3
    DATAGRAM = 4
    EVENTFD = 5


class Does(IntFlag):
    """Properties of a system call: FD takes a descriptor, MANY carries as many messages as it returns, WAIT
    waits for events."""

    FD = 1
    READ = 2
    WRITE = 4
    SOCKET = 8
    ACCEPT = 16
    CLOSE = 32
    EVENTFD = 64
    WAIT = 128
    MANY = 256


# The class's name in the `syscalls` table.
CLASSES = {
    Descriptor.NONE: "",
    Descriptor.OTHER: "other",
    Descriptor.TAP: "tap",
    Descriptor.STREAM: "socket",
    Descriptor.DATAGRAM: "socket",
    Descriptor.EVENTFD: "eventfd",
}
SHARED = Shared(
    enums={"FD": Descriptor, "DOES": Does},
    losses=(Loss("SYSCALLS", "system calls beyond their map", "syscalls are incomplete"),),
)
DOES: dict[str, Does] = {
    **dict.fromkeys(("read", "readv", "pread64", "preadv", "recvfrom", "recvmsg"), Does.FD | Does.READ),
    **dict.fromkeys(("write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"), Does.FD | Does.WRITE),
    "recvmmsg": Does.FD | Does.READ | Does.MANY,
    "sendmmsg": Does.FD | Does.WRITE | Does.MANY,
    **dict.fromkeys(("ioctl", "connect", "bind", "listen", "shutdown"), Does.FD),
    **dict.fromkeys(("getsockopt", "setsockopt", "getsockname", "getpeername", "fcntl"), Does.FD),
    "socket": Does.SOCKET,
    **dict.fromkeys(("accept", "accept4"), Does.FD | Does.ACCEPT),
    "close": Does.CLOSE,
    **dict.fromkeys(("eventfd", "eventfd2"), Does.EVENTFD),
    **dict.fromkeys(("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait"), Does.WAIT),
    **dict.fromkeys(("epoll_pwait2", "io_uring_enter"), Does.WAIT),
}

FAMILY = Family(
    name="syscalls",
    summary="system calls of the target: calls, errors, bytes; the host stage of taps and sockets",
    needs=("raw tracepoints",),
    points=(
        Point(
            "tap",
            (("raw_tracepoint", "on_sys_exit"),),
            "syscall_slots",
            Descriptor.TAP,
            note="with offloads a frame may be of many TCP segments (GSO)",
        ),
        Point(
            "socket",
            (("raw_tracepoint", "on_sys_exit"),),
            "syscall_slots",
            Descriptor.STREAM,
            note="frames are datagrams; a stream is counted in bytes",
        ),
    ),
    tables=("fd_class", "fd_owner", "syscall_slots"),
)
