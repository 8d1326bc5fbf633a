"""What several sections say of an analysis's row: whose it is, of which traffic, how it compares."""

from __future__ import annotations

from collections.abc import Sequence

from qtrace.report.answers import Answers, Row
from qtrace.report.text import MISSING, backend, clean, duration, present, span, times

__all__ = [
    "DIRECTIONS",
    "base_name",
    "compared_in_words",
    "known",
    "of_payload",
    "place",
    "traffic",
    "where",
    "who",
]

DIRECTIONS = {"tx": "tx, guest to host", "rx": "rx, host to guest", "both": "round trip"}


def who(row: Row) -> tuple[str, str]:
    """The NIC and its back end."""
    return str(row["nic"]), backend(row["netdev"], row["datapath"])


def traffic(row: Row) -> str:
    """What was sent: `tcp tx` has frames of both directions, the payload's and the ACKs."""
    return f"{row['workload']} {row['way']}" if row["way"] in ("tx", "rx") else str(row["workload"])


def of_payload(rows: Sequence[Row]) -> list[Row]:
    """The rows of a cell's own direction: not the ACKs, not the round trips.

    Where nobody said what the traffic was (`qtrace record`), both directions are the payload's.
    """
    return [
        row
        for row in rows
        if row["direction"] == row["way"] or (row["way"] not in ("tx", "rx") and row["workload"] != "rr")
    ]


def known(row: Row, name: str) -> str:
    """A quantile with its bucket's bounds behind it; `name` is `p50`, `p90` or `p99`."""
    ends = span(duration(row[f"{name}_low_ns"]), duration(row[f"{name}_high_ns"]))
    return f"{duration(row[f'{name}_ns'])} ({ends})" if row[f"{name}_ns"] else MISSING


def where(row: Row) -> str:
    """`util/iov.c:43`, or that the file is not known."""
    return f"{row['file']}:{row['line']}" if row["file"] else MISSING


def place(row: Row) -> str:
    """A function with its place behind it."""
    name = clean(row["function"])
    return f"{name} ({clean(row['file'])}:{row['line']})" if row["file"] else name


def base_name(answers: Answers) -> str:
    """What ratios are taken against, as the reader knows it."""
    return backend(*answers.baseline)


def compared_in_words(row: Row, base: str, value: str) -> str:
    """`tap + vhost 2.50 Gbit/s (1.50 × tap [1.40 to 1.60 ×])`."""
    name = backend(row["netdev"], row["datapath"])
    if name == base or present(row["ratio"]) is None:
        return f"{name} {value}"
    ends = span(times(row["ratio_low"]), times(row["ratio_high"]))
    ends = "" if row["ratio_low"] is None else f" [{ends}]"
    return f"{name} {value} ({times(row['ratio'])} {base}{ends})"
