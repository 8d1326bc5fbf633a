"""The conditions of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtrace.report.answers import Answers
from qtrace.report.document import Section, Table
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import count

__all__ = ["SECTION"]


def write(answers: Answers) -> Section:
    """The venue, the machine and the plan of the run."""
    meta = answers.run.meta
    rows: list[tuple[object, object]] = [("venue", meta["venue"])]
    if meta.get("venue_reason"):
        rows.append(("why this venue", meta["venue_reason"]))
    rows += list(meta["conditions"].items())
    rows += [
        (say("plan: {key}", key=told(key)), _said(value))
        for key, value in answers.plan.items()
        if key not in ("cells", "title")
    ]
    measured = say(
        "{number} cells, {repeated}, {probing}",
        number=answers.cells,
        repeated=answers.repeated,
        probing=answers.probing,
    )
    rows.append(("measured", measured))
    if times := meta.get("resumed"):
        # By Ctrl-C, or where a lab machine ended.
        after = say("after {numbers} measurements", numbers=", ".join(count(number) for number in times))
        rows.append(("interrupted and gone on with", after))
    return Section(
        "conditions",
        "Conditions",
        "The numbers of this report hold under these conditions only. Numbers of another venue or machine "
        "belong in another report.",
        (Table.of("", "condition|value", rows), *_by_host(meta.get("hosts", ()))),
    )


def _by_host(hosts: Sequence[Mapping[str, Any]]) -> list[Table]:
    """The conditions in which the machines of a merged run differ, and the blocks of each."""
    if len(hosts) < 2:
        return []
    own = [host["conditions"] for host in hosts]
    every = dict.fromkeys(name for item in own for name in item)
    names = [name for name in every if len({str(item.get(name)) for item in own}) > 1]
    rows = [("blocks", *(", ".join(map(str, host["blocks"])) for host in hosts))]
    rows += [(name, *(str(item.get(name, "")) for item in own)) for name in names]
    columns = "|".join(say("machine {number}", number=number) for number in range(1, len(hosts) + 1))
    return [Table.of("Machines", f"condition|{columns}", rows)]


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_said(item) for item in value)
    return str(value)


SECTION = ReportSection(50, write)
