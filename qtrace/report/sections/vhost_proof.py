"""The carrier of the frames: QEMU or the kernel's vhost."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.rows import bare, traffic
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import backend, clean, count

__all__ = ["SECTION"]


_CARRIES = {
    "qemu": "QEMU",
    "kernel": "the kernel",
    "switch": "the switch",
    "both": "both",
    "nobody": "nobody",
    "unknown": "unknown",
}


def write(answers: Answers) -> Section:
    """The carrier of the frames of each cell."""
    lines = [
        (
            *bare(row),
            traffic(row),
            row["direction"],
            count(row["qemu_frames"]),
            count(row["kernel_frames"]),
            _CARRIES[row["carried_by"]],
            {True: "yes", False: "NO", None: "not known"}[row["as_planned"]],
        )
        for row in answers.ask("vhost_proof")
    ]
    return Section(
        "vhost",
        "Is vhost really on?",
        "Counted, not assumed: with vhost on, QEMU's own dequeue and deliver must stay at zero while the "
        "kernel's vhost functions count the frames; with vhost off the reverse. A dash is a side that "
        "was not probed. The frames of vhost-user are its switch's, in which nothing is probed, where QEMU "
        "counts none.",
        (
            Table.of(
                "",
                "NIC|back end|traffic|direction|#frames: in QEMU|#in the kernel's vhost|carried by|as "
                "planned",
                lines,
            ),
        ),
    )


def headline(answers: Answers) -> Iterator[str]:
    """The verdict in a sentence."""
    rows = [row for row in answers.whole("vhost_proof") if row["datapath"] == "vhost-net"]
    if rows:
        inside = sum(row["qemu_frames"] or 0 for row in rows)
        below = sum(row["kernel_frames"] or 0 for row in rows)
        watched = all(row["qemu_frames"] is not None for row in rows)
        proved = all(row["as_planned"] for row in rows) and watched
        yield say(
            "{verdict}: with it on, QEMU's dequeue and deliver counted {inside} and the kernel's functions "
            "{below} frames.",
            verdict=say("vhost is proved") if proved else say("vhost is NOT proved"),
            inside=count(inside) if watched else say("nothing (not probed)"),
            below=count(below),
        )


def alerts(answers: Answers) -> Iterator[str]:
    """One alert for each cell whose carrier differs from the plan's."""
    for row in answers.whole("vhost_proof"):
        if row["as_planned"] is False:
            yield say(
                "Not as planned: {nic} on {back}, {direction} was carried by {carrier}.",
                nic=clean(row["nic"]),
                back=backend(row["netdev"], row["datapath"]),
                direction=row["direction"],
                carrier=told(row["carried_by"]),
            )


SECTION = ReportSection(1300, write, ("vhost_proof",), headline=headline, alerts=alerts)
