"""What a process's descriptors are to the tracer."""

from __future__ import annotations

import os
import socket

from qtrace.probes.syscalls import Descriptor
from qtrace.trace.qemu.target import Target


def test_datagrams_of_a_local_socket_are_frames_and_its_streams_are_not() -> None:
    udp, tcp = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
    local = {
        kind: socket.socketpair(socket.AF_UNIX, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    }
    with udp, tcp:
        udp.bind(("127.0.0.1", 0))  # /proc lists those that have a port
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        classes = Target(os.getpid()).descriptors()
        assert classes[udp.fileno()] == Descriptor.DATAGRAM and classes[tcp.fileno()] == Descriptor.STREAM
        for kind, pair in local.items():
            expected = Descriptor.DATAGRAM if kind == socket.SOCK_DGRAM else Descriptor.OTHER
            assert {classes[end.fileno()] for end in pair} == {expected}
            for end in pair:
                end.close()
