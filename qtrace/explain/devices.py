"""Whether a device's properties exist and fit (hw/core/qdev-properties.c, qom/object.c)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qtrace.errors import RefusedLine
from qtrace.explain.backends import parse_mac
from qtrace.explain.models import Model, Property
from qtrace.explain.opts import Opts
from qtrace.explain.values import number, truth

__all__ = ["GONE", "check_properties"]

# Removed properties that many copied lines still have.
GONE = {
    "vlan": "vlan= is gone since QEMU 3.0 (docs/about/removed-features.rst): -nic makes a pair, and "
    "-netdev hubport a hub"
}

_BITS = re.compile(r"u?int(8|16|32|64)\Z")
_NOT_PROPERTIES = ("driver", "id", "bus")
_RING = re.compile(r"(rx|tx)_queue_size\Z")
_LARGEST_RING, _SMALLEST_RING = 1024, 256


def check_properties(
    opts: Opts, model: Model, properties: Mapping[str, Property], lenient: bool
) -> list[str]:
    """Names that the model does not have. Raises RefusedLine for such names, and for values that do not
    fit."""
    if opts.data is not None:
        given = [(key, value) for key, value in opts.data.items()]
    else:
        given = [(key, value) for key, value in opts.pairs]
    unknown = []
    for name, value in given:
        if name in _NOT_PROPERTIES:
            continue
        if name not in properties:
            if not lenient:
                raise RefusedLine(
                    f"{opts.option}: {model.type} has no property {name!r}", hint=_near(name, properties)
                )
            unknown.append(name)
            continue
        if wrong := _wrong(properties[name], value, opts.is_json):
            raise RefusedLine(f"{opts.option}: {name} {wrong}")
    return unknown


def _near(name: str, properties: Mapping[str, Property]) -> str:
    if name == "macaddr":
        return "for -device it is called mac"
    if name in GONE:
        return GONE[name]
    return f"see: its properties are {', '.join(sorted(properties))}" if len(properties) < 40 else ""


def _wrong(item: Property, value: object, typed: bool) -> str:
    """Why a value does not fit; empty if it fits or its type is unknown."""
    if item.type == "bool":
        return _wrong_truth(value, typed)
    if item.name == "mac":
        fits = isinstance(value, str) and parse_mac(value, strict=True) is not None
        return "" if fits else f"is a MAC address such as 52:54:00:12:34:56, not {value!r}"
    if item.name == "duplex":
        return "" if value in ("half", "full") else f"is half or full, not {value!r}"
    if item.name == "addr" or "netdev" in item.name:
        return ""
    match = _BITS.match(item.type)
    return _wrong_number(item, int(match[1]), value, typed) if match else ""


def _wrong_truth(value: object, typed: bool) -> str:
    if typed:
        return "" if isinstance(value, bool) else f"is true or false, not {value!r}"
    return "" if truth(str(value)) is not None else f"is on or off, not {value!r}"


def _wrong_number(item: Property, bits: int, value: object, typed: bool) -> str:
    if isinstance(value, bool) or (typed and not isinstance(value, int)):
        return f"is a number, not {value!r}"
    found = value if isinstance(value, int) else number(str(value))
    if found is None:
        return f"is a whole number, not {value!r}"
    if item.name == "speed" and found < -1:
        return f"is a number of Mbit/s from 0, not {found}"
    # A negative number wraps around for an unsigned property: -1 is a usual way to write "all bits".
    if found >= 2**bits:
        return f"is a number of {bits} bits; {found} is too large"
    ring = not _RING.match(item.name) or (
        _SMALLEST_RING <= found <= _LARGEST_RING and not found & (found - 1)
    )
    return "" if ring else f"is a power of 2 from {_SMALLEST_RING} to {_LARGEST_RING}, not {found}"
