"""The responder on port 7 of every namespace of a lab: it names its namespace and the caller's address, by
TCP and UDP.

The guests run the same in perl (responder.pl). So an answer shows which machine answered, and how address
translation changed the caller's address.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import socket
import threading
from collections.abc import Iterator, Mapping

from qtrace.lab.host.netns import Namespace

__all__ = ["PORT", "open_responder"]

PORT = 7


@contextlib.contextmanager
def open_responder(spaces: Mapping[str, Namespace]) -> Iterator[None]:
    """Answer in each of `spaces` until the block ends. Raises OSError if the port is in use."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for name, space in spaces.items():
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                made = space.make(functools.partial(socket.socket, socket.AF_INET, kind))
                stack.enter_context(made)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind(("0.0.0.0", PORT))
                if kind == socket.SOCK_STREAM:
                    made.listen(16)
                made.setblocking(False)
                selector.register(made, selectors.EVENT_READ, name)
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        selector.register(reader, selectors.EVENT_READ, "")
        thread = threading.Thread(target=_serve, args=(selector, reader), daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.close(writer)
            thread.join()


def _serve(selector: selectors.BaseSelector, end: int) -> None:
    while True:
        for key, _ in selector.select():
            if key.fileobj == end:
                for other in list(selector.get_map().values()):
                    if isinstance(other.data, _Caller):
                        _socket(other).close()
                return
            with contextlib.suppress(OSError):  # the caller has closed the connection
                _answer(selector, key)


class _Caller:
    """A TCP connection: it gets an answer for each message, and one before it closes."""

    def __init__(self, text: bytes) -> None:
        self.text, self.told = text, False


def _answer(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    ours = _socket(key)
    if isinstance(key.data, _Caller):
        try:
            said = ours.recv(2048)
            if said or not key.data.told:
                ours.sendall(key.data.text)
                key.data.told = True
        except OSError:
            said = b""
        if not said:
            selector.unregister(ours)
            ours.close()
    elif ours.type == socket.SOCK_STREAM:
        peer, place = ours.accept()
        selector.register(peer, selectors.EVENT_READ, _Caller(_text(key.data, place)))
    else:
        _, place = ours.recvfrom(2048)
        ours.sendto(_text(key.data, place), place)


def _socket(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj


def _text(name: str, place: tuple[str, int]) -> bytes:
    return f"{name} {place[0]}:{place[1]}\n".encode()
