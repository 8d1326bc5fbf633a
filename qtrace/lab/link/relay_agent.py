"""Carries frames between a tap and QEMU's socket: TAP fd|accept|connect SOCKET, see `main`.

`relay` starts it with only the standard library, so that it starts quickly. On a datagram socket a frame is a
datagram; on a stream its length precedes it (four bytes, big endian). The relay drops no frame: it waits if
the receiver has no room.
"""

import argparse
import contextlib
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable

__all__ = ["main"]

_MOST = 65600  # bytes: larger than any frame
_LENGTH = struct.Struct("!I")
_PATIENCE = 120.0  # seconds to wait until QEMU listens
# QEMU has not opened its end yet, or has closed it: the frame has no receiver.
_NOBODY = (ConnectionRefusedError, FileNotFoundError)


class _Datagrams:
    """`to` is their destination on an unconnected socket, `ours` the port from which the relay sends."""

    def __init__(
        self, link: socket.socket, sends: socket.socket, to: str, ours: int | None, header: bytes
    ) -> None:
        self._link, self._sends, self._to, self._ours = link, sends, _address(to), ours
        self._header = header

    def to_qemu(self, tap: int) -> None:
        while True:
            frame = self._header + os.read(tap, _MOST)
            with contextlib.suppress(*_NOBODY):
                if self._to:
                    self._sends.sendto(frame, self._to)
                else:
                    self._sends.sendall(frame)

    def from_qemu(self, tap: int) -> None:
        while True:
            try:
                frame, sender = self._link.recvfrom(_MOST)
            except ConnectionRefusedError:  # the answer to a frame that was sent too early
                continue
            if not frame and not self._to:
                return  # the pair's other end is closed
            if not (self._ours and sender and sender[1] == self._ours):
                os.write(tap, frame[len(self._header) :])


class _Stream:
    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def to_qemu(self, tap: int) -> None:
        while True:
            frame = os.read(tap, _MOST)
            self._link.sendall(_LENGTH.pack(len(frame)) + frame)

    def from_qemu(self, tap: int) -> None:
        with self._link.makefile("rb", buffering=1 << 20) as reader:
            while len(head := reader.read(_LENGTH.size)) == _LENGTH.size:
                os.write(tap, reader.read(_LENGTH.unpack(head)[0]))


def _address(text: str) -> tuple[str, int] | str:
    """HOST:PORT, or a path."""
    host, colon, port = text.rpartition(":")
    return (host, int(port)) if colon else text


def _connected(text: str) -> socket.socket:
    """Connect, trying until QEMU listens."""
    where, deadline = _address(text), time.monotonic() + _PATIENCE
    while True:
        link = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        try:
            link.connect(where)
            return link
        except _NOBODY:
            link.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> None:
    """Carry frames until one direction ends, because QEMU or the tap has closed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tap", type=int)
    parser.add_argument("how", choices=["fd", "accept", "connect"])
    parser.add_argument("link", help="a descriptor, or where to connect to")
    parser.add_argument("--send", type=int)
    parser.add_argument("--to", default="")
    parser.add_argument("--not-from", type=int)
    parser.add_argument("--header", type=bytes.fromhex, default=b"")
    words = parser.parse_args()
    if words.how == "connect":
        link = _connected(words.link)
    else:
        link = socket.socket(fileno=int(words.link))
        if words.how == "accept":
            link, _ = link.accept()
    carrier: _Datagrams | _Stream = _Stream(link)
    if link.type == socket.SOCK_DGRAM:
        sends = link if words.send is None else socket.socket(fileno=words.send)
        carrier = _Datagrams(link, sends, words.to, words.not_from, words.header)
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run(way: Callable[[int], None]) -> None:
        try:
            way(words.tap)
            ended.put(None)
        except BaseException as exc:
            ended.put(exc)

    for way in (carrier.to_qemu, carrier.from_qemu):
        threading.Thread(target=run, args=(way,), daemon=True).start()
    if failure := ended.get():
        raise failure


if __name__ == "__main__":
    main()
