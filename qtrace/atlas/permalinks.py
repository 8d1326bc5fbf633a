"""The address of every page and of every part of a page. It depends on names alone, so it stays the same from
build to build.
"""

from __future__ import annotations

import hashlib
import posixpath
import re

__all__ = [
    "backend_page",
    "callback_page",
    "document_page",
    "file_page",
    "fragment",
    "mode_page",
    "nic_page",
    "pair_page",
    "part_page",
    "relative",
    "source_page",
]

_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]+")
_LONGEST = 120


def fragment(name: str) -> str:
    """A name as the id of an element, and as a part of a file's name.

    A name of other characters keeps those that are safe and gets a digest, so that two names never share one
    address.
    """
    safe = _UNSAFE.sub("-", name)[:_LONGEST].strip(".-")
    if safe == name:
        return name
    return f"{safe or 'x'}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def pair_page(nic: str, netdev: str) -> str:
    """A NIC on a back end."""
    return f"pairs/{fragment(nic)}/{fragment(netdev)}.html"


def nic_page(nic: str) -> str:
    """A NIC."""
    return f"nics/{fragment(nic)}.html"


def backend_page(netdev: str) -> str:
    """A back end."""
    return f"backends/{fragment(netdev)}.html"


def callback_page(field: str) -> str:
    """A callback of NetClientInfo."""
    return f"callbacks/{fragment(field)}.html"


def part_page(name: str) -> str:
    """A part of QEMU's core that frames pass: queues, hubs, filters, virtqueues."""
    return f"parts/{fragment(name)}.html"


def file_page(file: str) -> str:
    """The functions of a source file."""
    return f"functions/{'/'.join(fragment(part) for part in file.split('/'))}.html"


def source_page(file: str, part: int = 1) -> str:
    """The lines of a source file, with `--source`; a long file goes on in further parts."""
    more = f".part{part}" if part > 1 else ""
    return f"source/{'/'.join(fragment(name) for name in file.split('/'))}{more}.html"


def document_page(kind: str, name: str) -> str:
    """A post, or a page of the project that measures; it belongs to no release."""
    return f"{kind}/{fragment(name)}.html"


def mode_page(mode: str) -> str:
    """A connection mode of the lab; it belongs to no release."""
    return f"modes/{fragment(mode)}.html"


def relative(page: str, other: str) -> str:
    """The address of the page `other`, or of a part of it, as `page` links to it."""
    target, mark, inside = other.partition("#")
    if target == page and mark:
        return f"#{inside}"
    return posixpath.relpath(target, posixpath.dirname(page) or ".") + mark + inside
