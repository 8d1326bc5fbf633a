"""Frames from their first stage to their last: how long each took, and how many could be followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.text import MISSING, backend, clean, count, duration, span

__all__ = ["frame_latency", "in_words", "stopped"]


def in_words(whole: Sequence[Row], waits: Sequence[Row], stops: Sequence[Row]) -> Iterator[str]:
    """A line for each pair of ends: what was measured, and of how many of the frames; then who waited, and
    who stopped. The rows are those of the analyses `frame_latency`, `waiting` and `stopped`."""
    for row in whole:
        if not row["frames"]:
            continue
        line = f"first stage to last ({clean(row['from_stage'])} to {clean(row['to_stage'])}): "
        if row["p50_ns"]:
            line += f"p50 {duration(row['p50_ns'])}, p99 {duration(row['p99_ns'])}; "
        line += f"{count(row['matched'])} of {count(row['frames'])} frames followed"
        rest = [f"{count(row[kind])} {kind}" for kind in ("ambiguous", "unmatched") if row[kind]]
        yield line + (f" ({', '.join(rest)})" if rest else "")
    for row in waits:
        where = f"between {clean(row['from_stage'])} and {clean(row['to_stage'])}"
        times = f"p50 {duration(row['p50_ns'])}, p99 {duration(row['p99_ns'])}"
        yield f"waited {where}: {count(row['count'])} frames, {times}"
    for row in stops:
        where = f"at {clean(row['stage'])} ({clean(row['function'])})" if row["stage"] else "on the way"
        yield f"stopped {where}: {count(row['frames'])} frames: {clean(row['why'])}"


def frame_latency(answers: Answers) -> Section:
    """All pairs of ends with their quantiles and their share of followed frames."""

    def known(row: Row, name: str) -> str:
        ends = span(duration(row[f"{name}_low_ns"]), duration(row[f"{name}_high_ns"]))
        return f"{duration(row[f'{name}_ns'])} ({ends})" if row[f"{name}_ns"] else MISSING

    lines = [
        (
            *(row["nic"], backend(row["netdev"], row["datapath"])),
            *(f"{row['workload']} {row['way']}", row["direction"], row["from_stage"], row["to_stage"]),
            *(known(row, "p50"), known(row, "p99"), count(row["frames"]), count(row["matched"])),
            *(count(row["ambiguous"]), count(row["unmatched"])),
        )
        for row in answers.ask("frame_latency")
        if row["frames"]
    ]
    heads = "NIC|back end|traffic|direction|from|to|#p50|#p99|#frames|#matched|#ambiguous|#unmatched"
    return Section(
        "frame-latency",
        "Time from the first stage to the last",
        "Each frame by itself, followed on its thread from the first stage that counts frames to the last, "
        "through a queue too where only one waited. `ambiguous` ended when several were waiting; `unmatched` "
        "were dropped, waited, or were under way at an end of the window. The times are those of the matched "
        "frames; the slot's bounds in parentheses are what is certain.",
        (Table.of("", heads, lines),),
    )


def stopped(answers: Answers) -> Section:
    """Frames that waited, and those that did not go on."""
    waits = [
        (
            *(row["nic"], backend(row["netdev"], row["datapath"]), row["direction"]),
            *(row["from_stage"], row["to_stage"], duration(row["p50_ns"]), duration(row["p99_ns"])),
            count(row["count"]),
        )
        for row in answers.ask("waiting")
    ]
    stops = [
        (
            *(row["nic"], backend(row["netdev"], row["datapath"]), row["direction"]),
            *(row["stage"], row["function"], count(row["frames"]), row["why"]),
        )
        for row in answers.ask("stopped")
    ]
    return Section(
        "stopped",
        "Frames that waited, and frames that went no further",
        "A frame waits where it is set aside in a queue of QEMU's, from the stage that it had passed to the "
        "one where it went on; of several that waited together only the number is known. Of those that went "
        "no further the stage is known, and the reason as far as it and the state of both ends tell it.",
        (
            Table.of("Time in a queue", "NIC|back end|direction|from|to|#p50|#p99|#frames", waits),
            Table.of("Went no further", "NIC|back end|direction|after|$function|#frames|why", stops),
        ),
    )
