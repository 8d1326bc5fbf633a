"""What a process's descriptors are to the tracer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

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


def test_cpu_time_is_told_apart_by_where_it_was_spent() -> None:
    """A process that does nothing but system calls, and one that makes none, from when both have begun."""
    programs = {"system": "import os\nprint(flush=True)\nwhile True: os.stat('/')"}
    programs["user"] = "print(flush=True)\nwhile True: pass"
    shares = {}
    for where, program in programs.items():
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout and process.stdout.readline()
                target = Target(process.pid)
                first = target.threads()[process.pid]
                deadline = time.monotonic() + 300
                while (thread := target.threads()[process.pid]).seconds < first.seconds + 0.5:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            finally:
                process.kill()
        assert first.system is not None and thread.system is not None
        assert thread.guest == 0 and thread.system <= thread.seconds + 0.1
        shares[where] = (thread.system - first.system) / (thread.seconds - first.seconds)
    # Python's own code is a part of the first.
    assert shares["user"] < 0.2 < shares["system"] <= 1.2, shares
