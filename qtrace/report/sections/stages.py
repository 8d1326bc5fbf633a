"""The counts of each stage."""

from __future__ import annotations

from qtrace.model import STAGE_ORDER, VHOST_USER, Direction
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.rows import direction_name, of_payload, who
from qtrace.report.section import ReportSection
from qtrace.report.speech import say
from qtrace.report.text import MISSING, count, size

__all__ = ["SECTION"]


_CALLS = ("kick", "interrupt")


def write(answers: Answers) -> Section:
    """A matrix of frames by stage for each direction, then every stage by function."""
    rows = of_payload(answers.ask("stages"))
    tables: list[Table] = []
    for direction in Direction:
        roles = [role.value for role in STAGE_ORDER[direction]]
        cells: dict[tuple[str, str], dict[str, str]] = {}
        for row in rows:
            if row["direction"] == direction.value and row["attached"]:
                held = cells.setdefault(who(row), {})
                number = row["calls"] if row["stage"] in _CALLS else row["frames"]
                best = max(int(number or 0), int(held.get(row["stage"], "0").replace(",", "")))
                held[row["stage"]] = count(best)
        lines = [(*who, *(held.get(role, MISSING) for role in roles)) for who, held in sorted(cells.items())]
        if lines:
            heads = "NIC|back end|" + "|".join(
                f"#{say('{stage} (calls)', stage=role) if role in _CALLS else role}" for role in roles
            )
            title = say("{direction}: frames at each stage", direction=direction_name(direction.value))
            tables.append(Table.of(title, heads, lines))
    details = [
        (
            *who(row),
            row["direction"],
            row["stage"],
            row["function"],
            row["how"],
            count(row["calls"]),
            count(row["frames"]),
            size(row["bytes"]),
            say("not this datapath's: must count nothing") if _other_datapath(row) else row["note"],
        )
        for row in sorted(rows, key=lambda row: (row["way"] == "rx", *who(row), _other_datapath(row)))
    ]
    heads = "NIC|back end|direction|stage|$function|probe|#calls|#frames|#bytes|note"
    tables.append(Table.of("Every stage by function", heads, details))
    return Section(
        "stages",
        "Packets at each stage",
        "Exact counts, summed over the probed TCP repetitions, in the direction of the payload (ACKs in the "
        "other direction are counted separately and are in the data). Frames may be larger than the MTU, "
        "because segmentation is left to the device. A dash is a stage that could not be measured, which "
        "is not zero.",
        tuple(tables),
    )


def _other_datapath(row: Row) -> bool:
    """Whether the stage belongs to the datapath that the cell must not take: its count must be zero."""
    own = row["datapath"] != VHOST_USER and (row["how"] == "kprobe") == (row["datapath"] == "vhost-net")
    return bool(row["attached"]) and not own


SECTION = ReportSection(400, write, ("stages",))
