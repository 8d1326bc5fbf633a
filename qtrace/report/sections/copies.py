"""Bytes that QEMU copied (the level full)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.rows import place, where, who
from qtrace.report.section import PathRows, ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import MISSING, clean, count, plain_number, size

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """Every function that copied, with bytes per frame and per byte carried."""
    rows = answers.ask("copies")
    sums: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["attached"]:
            sums.setdefault((*who(row), row["direction"]), []).append(row)
    whole = [
        (
            *key,
            count(found[0]["frames"]),
            size(found[0]["frame_bytes"]),
            size(sum(row["bytes"] for row in found)),
            _ratio(found),
        )
        for key, found in sums.items()
        if found[0]["frames"]
    ]
    lines = [
        (
            *who(row),
            row["direction"],
            row["function"],
            where(row),
            *((count(row["calls"]), size(row["bytes"])) if row["attached"] else (MISSING, MISSING)),
            plain_number(row["bytes_per_frame"]) if row["attached"] and row["frames"] else MISSING,
            row["note"],
        )
        for row in rows
        if row["calls"] or not row["attached"]
    ]
    return Section(
        "copies",
        "Bytes that QEMU copied",
        "Bytes copied by QEMU's copying functions that have an address in the binary, while a frame was on "
        "its way, including descriptors and headers. Not included: copies that the compiler has inlined "
        "(headers of a constant size), copies within libraries, and the kernel's own. Frames are the frames "
        "that were handed over to the peer meanwhile.",
        (
            Table.of(
                "For each byte carried",
                "NIC|back end|direction|#frames|#carried|#copied|#copied for each byte",
                whole,
            ),
            Table.of(
                "By function",
                "NIC|back end|direction|$function|where|#calls|#bytes|#bytes a frame|note",
                lines,
            ),
        ),
    )


def in_words(path: PathRows) -> Iterator[str]:
    """A line with all copies of the direction, and one for each function that copied."""
    copied = path.ask("copies")
    seen = [row for row in copied if row["attached"]]
    if seen:
        yield _all_copies(seen)
    for row in seen:
        if row["calls"]:
            line = say(
                "copied by {function}: {size} in {calls} calls",
                function=place(row),
                size=size(row["bytes"]),
                calls=count(row["calls"]),
            )
            each = plain_number(row["bytes_per_frame"])
            yield say("{line}, {each} a frame", line=line, each=each) if row["frames"] else line
    for row in copied:
        if not row["attached"]:
            yield say("copies not measured: {note}", note=told(clean(row["note"])))


def _all_copies(rows: Sequence[Row]) -> str:
    data, carried = sum(row["bytes"] for row in rows), rows[0]
    text = say("copied: nothing counted")
    if data:
        text = say("copied by functions that can be counted: {size}", size=size(data))
    if not carried["frames"]:
        return text
    number = count(carried["frames"])
    return say(
        "{text}, {ratio} for each byte of {number} frames", text=text, ratio=_ratio(rows), number=number
    )


def _ratio(rows: Sequence[Row]) -> str:
    carried = rows[0]["frame_bytes"]
    return plain_number(sum(row["bytes"] for row in rows) / carried) if carried else MISSING


SECTION = ReportSection(900, write, ("copies",), in_words=in_words)
