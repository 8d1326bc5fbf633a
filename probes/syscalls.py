"""The target's system calls by thread, name and kind of descriptor, from the raw tracepoint sys_exit."""

from __future__ import annotations

from qtrace.probes.family import Family, Point

__all__ = ["CLASSES", "DATAGRAM", "DOES", "EVENTFD", "FAMILY", "OTHER", "STREAM", "TAP"]

# Class of descriptor in the kernel -> what the `syscalls` table calls it. Kept equal to the enum in
# syscalls.bpf.c; streams and datagrams are told apart because only a datagram is a frame.
CLASSES = ("", "other", "tap", "socket", "socket", "eventfd")
OTHER, TAP, STREAM, DATAGRAM, EVENTFD = 1, 2, 3, 4, 5

_FD, _READ, _WRITE, _SOCKET, _ACCEPT, _CLOSE, _EVENTFD, _WAIT, _MANY = (1 << bit for bit in range(9))
DOES: dict[str, int] = {
    **dict.fromkeys(("read", "readv", "pread64", "preadv", "recvfrom", "recvmsg"), _FD | _READ),
    **dict.fromkeys(("write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"), _FD | _WRITE),
    "recvmmsg": _FD | _READ | _MANY,
    "sendmmsg": _FD | _WRITE | _MANY,
    **dict.fromkeys(("ioctl", "connect", "bind", "listen", "shutdown"), _FD),
    **dict.fromkeys(("getsockopt", "setsockopt", "getsockname", "getpeername", "fcntl"), _FD),
    "socket": _SOCKET,
    **dict.fromkeys(("accept", "accept4"), _FD | _ACCEPT),
    "close": _CLOSE,
    **dict.fromkeys(("eventfd", "eventfd2"), _EVENTFD),
    **dict.fromkeys(("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait"), _WAIT),
    **dict.fromkeys(("epoll_pwait2", "io_uring_enter"), _WAIT),
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
            TAP,
            note="with offloads a frame may be of many TCP segments (GSO)",
        ),
        Point(
            "socket",
            (("raw_tracepoint", "on_sys_exit"),),
            "syscall_slots",
            STREAM,
            note="frames are datagrams; what a stream carries is in bytes",
        ),
    ),
)
