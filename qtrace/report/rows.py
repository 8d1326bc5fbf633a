"""Text for an analysis's row that several sections share: its NIC, its traffic, its comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtrace.report.answers import Answers, Row
from qtrace.report.speech import say, told
from qtrace.report.text import MISSING, backend, clean, duration, span, times

__all__ = [
    "DIRECTIONS",
    "bare",
    "base_name",
    "compared",
    "direction_name",
    "known",
    "of_payload",
    "place",
    "titled",
    "traffic",
    "where",
    "who",
]

_USUAL = ("tcp", "rr")
DIRECTIONS = {"tx": "tx, guest to host", "rx": "rx, host to guest", "both": "round trip"}


def direction_name(way: object) -> str:
    """`tx, guest to host`."""
    return told(DIRECTIONS.get(str(way), clean(way)))


def bare(row: Row) -> tuple[str, str]:
    """The NIC and its back end, beside a column with the traffic."""
    return str(row["nic"]), backend(row["netdev"], row["datapath"])


def who(row: Row) -> tuple[str, str]:
    """The NIC and its back end; with the workload and its setting where these are not the usual ones."""
    name, workload = backend(row["netdev"], row["datapath"]), clean(row["workload"])
    usual = workload in ("", *_USUAL) or workload.startswith("live")
    return str(row["nic"]), name if usual else f"{name}, {workload}"


def titled(row: Row) -> str:
    """A direction, with the workload and its setting where these are not the usual ones."""
    way, workload = direction_name(row["way"]), clean(row["workload"])
    return way if workload in _USUAL else say("{one}, {other}", one=workload, other=way)


def traffic(row: Row) -> str:
    """The traffic of a row: `tcp tx` has frames of both directions, the payload's and the ACKs."""
    return f"{row['workload']} {row['way']}" if row["way"] in ("tx", "rx") else str(row["workload"])


def of_payload(rows: Sequence[Row]) -> list[Row]:
    """The rows in a cell's own direction: neither ACKs nor round trips.

    Without a known traffic (`qtrace record`), both directions count as the payload's.
    """
    return [
        row
        for row in rows
        if row["direction"] == row["way"]
        or (row["way"] not in ("tx", "rx") and str(row["workload"]).split()[:1] != ["rr"])
    ]


def known(row: Row, name: str) -> str:
    """A quantile followed by the bounds of its bucket; `name` is `p50`, `p90` or `p99`."""
    ends = span(duration(row[f"{name}_low_ns"]), duration(row[f"{name}_high_ns"]))
    return f"{duration(row[f'{name}_ns'])} ({ends})" if row[f"{name}_ns"] else MISSING


def compared(row: Row, form: Callable[[object], str]) -> tuple[object, ...]:
    """The cell, its mean and its ratio to the baseline, both with their intervals, and n: seven columns after
    the NIC; `form` writes a mean."""
    return (
        *bare(row),
        traffic(row),
        form(row["mean"]),
        span(form(row["low"]), form(row["high"])),
        times(row["ratio"]),
        span(times(row["ratio_low"]), times(row["ratio_high"])),
        row["n"],
    )


def where(row: Row) -> str:
    """`util/iov.c:43`, or a note that the file is unknown."""
    return f"{row['file']}:{row['line']}" if row["file"] else MISSING


def place(row: Row) -> str:
    """A function followed by its place."""
    name = clean(row["function"])
    return f"{name} ({clean(row['file'])}:{row['line']})" if row["file"] else name


def base_name(answers: Answers) -> str:
    """The name of the back end that is the denominator of ratios, as in the report."""
    return backend(*answers.baseline)
