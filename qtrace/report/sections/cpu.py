"""CPU time by thread."""

from __future__ import annotations

from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.figures import PARTS, Bar, bars
from qtrace.report.rows import DIRECTIONS, direction_name, who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import count, plain_number, size, span

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """CPU seconds per GB by thread."""
    rows = answers.ask("cpu")
    colours = {
        thread: PARTS[index % len(PARTS)]
        for index, thread in enumerate(dict.fromkeys(row["thread"] for row in rows))
    }
    panels: dict[str, list[Bar]] = {}
    for way in DIRECTIONS:
        cells: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row["way"] == way and row["s_per_gb"]:
                cells.setdefault(who(row), []).append(row)
        panels[direction_name(way)] = [
            Bar(
                f"{nic}, {name}",
                tuple((told(row["thread"]), row["s_per_gb"], colours[row["thread"]]) for row in found),
                plain_number(sum(row["s_per_gb"] for row in found)),
            )
            for (nic, name), found in cells.items()
        ]
    text, axis = say("CPU seconds per GB by thread"), say("CPU seconds per GB of payload")
    figure = bars("cpu", text, panels, axis, legend=True)
    lines = [
        (
            *who(row),
            row["way"],
            row["thread"],
            plain_number(row["s_per_gb"]),
            span(plain_number(row["low"]), plain_number(row["high"])),
            plain_number(row["seconds"]),
            size(row["payload"]),
            count(row["switches"]),
            row["n"],
        )
        for row in rows
    ]
    heads = "NIC|back end|direction|thread|#s per GB|#95 % interval|#CPU s|#payload|#switches|#n"
    return Section(
        "cpu",
        "CPU time",
        "CPU seconds (user and system) of each thread for a GB (10^9 bytes) of TCP payload, without "
        "probes; the vCPU threads contain the guest's own work, under emulation the emulator's too. `CPU "
        "s`, `payload` and `switches` (context switches of both kinds) are sums over the n repetitions.",
        (Table.of("", heads, lines),),
        (figure,) if figure else (),
    )


SECTION = ReportSection(1100, write, ("cpu",))
