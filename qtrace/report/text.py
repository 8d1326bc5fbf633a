"""Numbers and names formatted for a reader. Text from a run is data and is cleaned here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtrace.report.speech import say

__all__ = [
    "MISSING",
    "backend",
    "bits",
    "clean",
    "count",
    "duration",
    "microseconds",
    "plain",
    "plain_number",
    "present",
    "size",
    "span",
    "times",
]

MISSING = "–"


def clean(text: object) -> str:
    """`text` on one line without control characters: names may come from a guest or from a file."""
    return "".join(char if char.isprintable() else " " for char in str(text)).strip()


def plain(text: str) -> str:
    """`text` without control characters, lines kept: names may come from a guest or from a file."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def present(value: object) -> float | None:
    """The number, or None where a table has no value (None, NaN, infinity)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def plain_number(value: object, digits: int = 3) -> str:
    """`digits` significant digits without an exponent: 1234567, 12.3, 0.0123."""
    number = present(value)
    if number is None:
        return MISSING
    if number == 0:
        return "0"
    rounded = float(f"{number:.{digits - 1}e}")  # 0.99999 is 1.00, not 1.000
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{number:,.{min(decimals, 9)}f}"


def count(value: object) -> str:
    """An exact count: 1,234,567."""
    number = present(value)
    return MISSING if number is None else f"{int(number):,}"


def _scaled(value: object, units: Sequence[tuple[float, str]]) -> str:
    number = present(value)
    if number is None:
        return MISSING
    factor, unit = next((pair for pair in units if abs(number) >= pair[0]), units[-1])
    return f"{plain_number(number / factor)} {unit}"


def bits(value: object) -> str:
    """A rate in bit/s: 1.71 Gbit/s."""
    return _scaled(value, [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1, "bit/s")])


def size(value: object) -> str:
    """Bytes in powers of ten: 1.21 GB."""
    return _scaled(value, [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")])


def duration(nanoseconds: object) -> str:
    """A time given in ns: 3.10 µs."""
    return _scaled(nanoseconds, [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")])


def microseconds(value: object) -> str:
    """A time given in µs."""
    number = present(value)
    return MISSING if number is None else duration(number * 1e3)


def times(value: object) -> str:
    """A ratio: 0.082 ×."""
    return MISSING if present(value) is None else say("{number} ×", number=plain_number(value))


def span(low: str, high: str) -> str:
    """An interval of two formatted numbers; a common unit is given once."""
    if MISSING in (low, high):
        return MISSING
    first, _, unit = low.partition(" ")
    same = unit == high.partition(" ")[2]
    return say("{low} to {high}", low=first if same else low, high=high)


def backend(netdev: object, datapath: object) -> str:
    """`tap`, `user`, `tap + vhost`, `vhost-user`."""
    name = clean(netdev)
    if datapath in ("qemu", netdev, "", None):
        return name
    return f"{name} + {'vhost' if datapath == 'vhost-net' else clean(datapath)}"
