"""The sections that show what the probes counted: stages, times between them, calls, proofs, the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from qtrace.model import STAGE_ORDER, Direction, Role
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Figure, Section, Table
from qtrace.report.figures import PARTS, Bar, bars
from qtrace.report.sections.speed import DIRECTIONS
from qtrace.report.text import MISSING, backend, count, duration, plain_number, size, span

__all__ = ["calls", "ledger", "paths", "proof", "reconciliation", "stage_latency", "stages", "verdicts"]

_CALLS = ("kick", "interrupt")
_CARRIES = {"qemu": "QEMU", "kernel": "the kernel", "both": "both", "nobody": "nobody", "unknown": "unknown"}


def _who(row: Row) -> tuple[str, str]:
    return str(row["nic"]), backend(row["netdev"], row["datapath"])


def _traffic(row: Row) -> str:
    """What was sent: `tcp tx` has frames of both directions, the payload's and the ACKs."""
    return f"{row['workload']} {row['way']}" if row["way"] in ("tx", "rx") else str(row["workload"])


def _other_datapath(row: Row) -> bool:
    """Whether the stage belongs to the datapath that the cell must not take: it must count nothing."""
    return bool(row["attached"]) and (row["how"] == "kprobe") != (row["datapath"] == "vhost-net")


def _payload(rows: Sequence[Row]) -> list[Row]:
    """The rows of a cell's own direction: not the ACKs, not the round trips.

    Where nobody said what the traffic was (`qtrace record`), both directions are the payload's.
    """
    return [
        row
        for row in rows
        if row["direction"] == row["way"] or (row["way"] not in ("tx", "rx") and row["workload"] != "rr")
    ]


def paths(figures: Sequence[Figure]) -> Section:
    """The drawings."""
    return Section(
        "paths",
        "The paths",
        "Each path as the walk found it in QEMU's source, with what was counted at each stage and how "
        "long a frame took from the stage before (p50 and p99 of the probed TCP measurements). The "
        "functions between two stages are named on the line; places are file:line in the source of this "
        "QEMU.",
        figures=tuple(figures),
    )


def stages(answers: Answers) -> Section:
    """A matrix of frames by stage for each direction, then every stage by function."""
    rows = _payload(answers.ask("stages"))
    tables: list[Table] = []
    for direction in Direction:
        roles = [role.value for role in STAGE_ORDER[direction]]
        cells: dict[tuple[str, str], dict[str, str]] = {}
        for row in rows:
            if row["direction"] == direction.value and row["attached"]:
                held = cells.setdefault(_who(row), {})
                number = row["calls"] if row["stage"] in _CALLS else row["frames"]
                best = max(int(number or 0), int(held.get(row["stage"], "0").replace(",", "")))
                held[row["stage"]] = count(best)
        lines = [(*who, *(held.get(role, MISSING) for role in roles)) for who, held in sorted(cells.items())]
        if lines:
            heads = "NIC|back end|" + "|".join(
                f"#{role}{' (calls)' if role in _CALLS else ''}" for role in roles
            )
            tables.append(Table.of(f"{DIRECTIONS[direction.value]}: frames at each stage", heads, lines))
    details = [
        (
            *(*_who(row), row["direction"], row["stage"], row["function"], row["how"]),
            *(count(row["calls"]), count(row["frames"]), size(row["bytes"])),
            "not this datapath's: must count nothing" if _other_datapath(row) else row["note"],
        )
        for row in sorted(rows, key=lambda row: (row["way"] == "rx", *_who(row), _other_datapath(row)))
    ]
    heads = "NIC|back end|direction|stage|$function|probe|#calls|#frames|#bytes|note"
    tables.append(Table.of("Every stage by function", heads, details))
    return Section(
        "stages",
        "Packets at each stage",
        "Exact counts, summed over the probed TCP repetitions, of the direction of the payload (the ACKs "
        "of the other direction are counted apart and are in the data). Frames may be larger than the "
        "MTU: segmentation is left to the device. A dash is a stage that could not be measured, which is "
        "not zero.",
        tuple(tables),
    )


def _place(row: Row) -> tuple[bool, str, str, str, int]:
    """The order in which a frame meets the edges; tx before rx."""
    order = [role.value for role in STAGE_ORDER[Direction(row["direction"])]]
    at = order.index(row["from_stage"]) if row["from_stage"] in order else len(order)
    return (row["direction"] == "rx", row["nic"], row["netdev"], row["datapath"], at)


def stage_latency(answers: Answers) -> Section:
    """Stacked medians by path, and all quantiles."""
    rows = sorted(_payload(answers.ask("stage_latency")), key=_place)
    # One colour a stage in both panels: the time is what a frame takes after it.
    colours = dict(zip((role.value for role in Role), PARTS, strict=True))
    panels: dict[str, list[Bar]] = {}
    for direction in Direction:
        cells: dict[tuple[str, str], list[tuple[str, float, str]]] = {}
        for row in rows:
            if row["direction"] == direction.value and row["p50_ns"]:
                after = row["from_stage"]
                part = (f"after {after}", row["p50_ns"] / 1e3, colours.get(after, PARTS[-1]))
                cells.setdefault(_who(row), []).append(part)
        panels[DIRECTIONS[direction.value]] = [
            Bar(f"{nic}, {name}", tuple(parts), duration(sum(part[1] for part in parts) * 1e3))
            for (nic, name), parts in sorted(cells.items())
        ]
    text = "Median time between neighbouring stages, stacked, by path"
    figure = bars("stages", text, panels, "sum of the medians, µs", legend=True)

    def known(row: Row, name: str) -> str:
        ends = span(duration(row[f"{name}_low_ns"]), duration(row[f"{name}_high_ns"]))
        return f"{duration(row[f'{name}_ns'])} ({ends})" if row[f"{name}_ns"] else MISSING

    lines = [
        (
            *(*_who(row), row["direction"], row["from_stage"], row["to_stage"]),
            *(known(row, "p50"), known(row, "p90"), known(row, "p99"), count(row["count"])),
        )
        for row in rows
    ]
    heads = "NIC|back end|direction|from|to|#p50|#p90|#p99|#passages"
    return Section(
        "stage-latency",
        "Time between neighbouring stages",
        "From histograms kept in the kernel with one slot for each power of two: the quantile is "
        "interpolated within its slot, the slot's bounds in parentheses are what is certain. The probes' "
        "own time is in it. Medians do not add up exactly to the median of the whole; the figure shows "
        "where the time goes.",
        (Table.of("", heads, lines),),
        (figure,) if figure else (),
    )


def calls(answers: Answers) -> Section:
    """Packets per system call, system calls per MB, kicks and interrupts per packet."""
    batching = [
        (
            *(*_who(row), row["direction"], row["stage"], count(row["frames"]), count(row["calls"])),
            *(plain_number(row["frames_per_call"]), count(row["all_calls"])),
        )
        for row in _payload(answers.ask("batching"))
    ]
    notices = [
        (
            *(*_who(row), row["direction"], count(row["frames"]), count(row["kicks"])),
            *(plain_number(row["kicks_per_frame"]), count(row["interrupts"])),
            plain_number(row["interrupts_per_frame"]),
        )
        for row in _payload(answers.ask("notifications"))
    ]
    made = [
        (
            *(*_who(row), row["way"], row["name"], row["fd"], plain_number(row["calls_per_mb"])),
            *(count(row["calls"]), count(row["errors"]), size(row["payload"])),
        )
        for row in answers.ask("syscalls")
        if row["calls_per_mb"] >= 0.005
    ]
    return Section(
        "calls",
        "System calls, kicks and interrupts",
        "A system call that carries one packet is dear; fewer kicks and interrupts than packets is "
        "batching. `I/O calls` are the reads or writes of QEMU on the tap or a socket in the payload's "
        "direction; where the kernel carries the frames there are none. Rates stand beside the counts "
        "they come from; system calls below 0.005 a MB (10^6 bytes of payload) are left out here and are "
        "in the data.",
        (
            Table.of(
                "Packets per system call",
                "NIC|back end|direction|counted at|#frames|#I/O calls|#frames per I/O call|#all calls",
                batching,
            ),
            Table.of(
                "Kicks and interrupts per packet",
                "NIC|back end|direction|#frames|#kicks|#kicks per frame|#interrupts|#interrupts per frame",
                notices,
            ),
            Table.of(
                "System calls per MB by name",
                "NIC|back end|direction|$call|on|#per MB|#calls|#errors|#payload",
                made,
            ),
        ),
    )


def proof(answers: Answers) -> Section:
    """Who carried the frames."""
    lines = [
        (
            *(*_who(row), _traffic(row), row["direction"]),
            *(count(row["qemu_frames"]), count(row["kernel_frames"]), _CARRIES[row["carried_by"]]),
            {True: "yes", False: "NO", None: "not known"}[row["as_planned"]],
        )
        for row in answers.ask("vhost_proof")
    ]
    return Section(
        "vhost",
        "Is vhost really on?",
        "Counted, not assumed: with vhost on, QEMU's own dequeue and deliver must stay at zero while the "
        "kernel's vhost functions count the frames; with vhost off the reverse. A dash is a side that "
        "was not probed.",
        (
            Table.of(
                "",
                "NIC|back end|traffic|direction|#frames: in QEMU|#in the kernel's vhost|carried by|as "
                "planned",
                lines,
            ),
        ),
    )


def reconciliation(answers: Answers) -> Section:
    """Traced frames against the device's counters."""
    lines = [
        (
            *(*_who(row), _traffic(row), row["direction"], row["stage"], row["function"]),
            *(
                count(row["frames"]),
                count(row["device_frames"]),
                f"{int(row['difference']):+,}".replace("+0", "0"),
            ),
            count(row["device_dropped"]),
        )
        for row in answers.ask("reconciliation")
    ]
    heads = "NIC|back end|traffic|direction|stage|$function|#traced|#device|#difference|#dropped"
    edges = "traffic on the window's edges"
    if any(row["netdev"] == "vde" for row in answers.ask("reconciliation")):
        edges += ", or on vde what its switch had no room to pass on"
    return Section(
        "reconciliation",
        "Against the tap device's own counters",
        "Frames that the probes counted and frames that the tap device counted over the same window; "
        f"nothing is rounded. A difference of a few frames is {edges}; more than that is an error.",
        (Table.of("", heads, lines),),
    )


def ledger(answers: Answers) -> Section:
    """Loss and failures, then what covers less than everything."""
    lines = [
        (row["kind"], row["item"], count(row["count"]), row["measurements"], row["cells"], row["note"])
        for row in answers.ask("ledger")
    ]
    reading = "What was lost, missed, sampled or failed, beside what was counted. "
    reading += "`lost` and `failed` make numbers wrong or absent; the other kinds say what a number covers."
    if not lines:
        reading = "Nothing was lost, missed or sampled, and nothing failed."
    return Section(
        "ledger",
        "Ledger",
        reading,
        (Table.of("", "kind|item|#count|#measurements|cells|note", lines),),
    )


def verdicts(answers: Answers) -> list[str]:
    """The proof and the reconciliation in a sentence each."""
    said: list[str] = []
    rows = [row for row in answers.ask("vhost_proof") if row["datapath"] == "vhost-net"]
    if rows:
        inside = sum(row["qemu_frames"] or 0 for row in rows)
        below = sum(row["kernel_frames"] or 0 for row in rows)
        watched = all(row["qemu_frames"] is not None for row in rows)
        proved = all(row["as_planned"] for row in rows) and watched
        said.append(
            f"vhost is {'proved' if proved else 'NOT proved'}: with it on, QEMU's dequeue and deliver "
            "counted "
            f"{count(inside) if watched else 'nothing (not probed)'} and the kernel's functions "
            f"{count(below)} frames."
        )
    rows = list(answers.ask("reconciliation"))
    if rows:
        traced, seen = (sum(row[key] for row in rows) for key in ("frames", "device_frames"))
        off = sum(abs(row["difference"]) for row in rows)
        said.append(
            f"The probes counted {count(traced)} frames on tap where the device's own counters say "
            f"{count(seen)}; "
            f"the differences of the rows add up to {count(off)}."
        )
    return said
