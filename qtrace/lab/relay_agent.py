"""Carries frames between a tap and QEMU's socket, both of them descriptors: TAP SOCKET.

Started by relay with nothing but the standard library, so that it starts quickly. On a datagram socket a
frame is a datagram; on a stream its length comes before it (four bytes, big endian). Either way it waits
where the receiver has no room: nothing is dropped here.
"""

import os
import queue
import socket
import struct
import sys
import threading
from collections.abc import Callable

__all__ = ["main"]

_MOST = 65550  # bytes: more than any frame
_LENGTH = struct.Struct("!I")


def _to_qemu(tap: int, link: socket.socket) -> None:
    stream = link.type == socket.SOCK_STREAM
    while True:
        frame = os.read(tap, _MOST)
        link.sendall(_LENGTH.pack(len(frame)) + frame if stream else frame)


def _from_qemu(tap: int, link: socket.socket) -> None:
    if link.type == socket.SOCK_DGRAM:
        while True:
            os.write(tap, link.recv(_MOST))
    with link.makefile("rb", buffering=1 << 20) as reader:
        while len(head := reader.read(_LENGTH.size)) == _LENGTH.size:
            os.write(tap, reader.read(_LENGTH.unpack(head)[0]))


def main() -> None:
    """Until one way ends: with QEMU, or with the tap."""
    tap, link = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run(way: Callable[[int, socket.socket], None]) -> None:
        try:
            way(tap, link)
            ended.put(None)
        except BaseException as exc:
            ended.put(exc)

    for way in (_to_qemu, _from_qemu):
        threading.Thread(target=run, args=(way,), daemon=True).start()
    if failure := ended.get():
        raise failure


if __name__ == "__main__":
    main()
