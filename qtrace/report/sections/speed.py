"""The sections that compare cells: throughput, latency, CPU time, the cost of the probes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.figures import BACKEND_COLOURS, PARTS, Bar, bars
from qtrace.report.text import (
    backend,
    bits,
    count,
    duration,
    microseconds,
    plain_number,
    present,
    size,
    span,
    times,
)

__all__ = ["DIRECTIONS", "base_name", "cost", "cpu", "headline", "latency", "throughput"]

DIRECTIONS = {"tx": "tx, guest to host", "rx": "rx, host to guest", "both": "round trip"}


def base_name(answers: Answers) -> str:
    """What ratios are taken against, as the reader knows it."""
    return backend(*answers.baseline)


def _who(row: Row) -> tuple[str, str]:
    return str(row["nic"]), backend(row["netdev"], row["datapath"])


def _colour(name: str) -> str:
    return BACKEND_COLOURS.get(name, "#8c8c8c")


def _panels(rows: Sequence[Row], bar: Callable[[Row], Bar]) -> dict[str, list[Bar]]:
    """Bars by direction; directions never share a panel."""
    return {title: [bar(row) for row in rows if row["way"] == way] for way, title in DIRECTIONS.items()}


def _compared(rows: Sequence[Row], form: Callable[[object], str]) -> list[tuple[object, ...]]:
    return [
        (
            *_who(row),
            row["way"],
            form(row["mean"]),
            span(form(row["low"]), form(row["high"])),
            times(row["ratio"]),
            span(times(row["ratio_low"]), times(row["ratio_high"])),
            row["n"],
        )
        for row in rows
    ]


def throughput(answers: Answers) -> Section:
    """TCP throughput: figure and table."""
    rows = answers.ask("throughput")

    def bar(row: Row) -> Bar:
        nic, name = _who(row)
        part = (name, row["mean"] / 1e9, _colour(name))
        ends = [present(row[end]) for end in ("low", "high")]
        low, high = (end / 1e9 if end is not None else None for end in ends)
        return Bar(f"{nic}, {name}", (part,), bits(row["mean"]), low, high)

    base = base_name(answers)
    figure = bars("throughput", "TCP throughput of each cell by direction", _panels(rows, bar), "Gbit/s")
    table = Table.of(
        "",
        f"NIC|back end|direction|#throughput|#95 % interval|#of {base}|#95 % interval|#n",
        _compared(rows, bits),
    )
    return Section(
        "throughput",
        "Throughput",
        "TCP payload received, without probes: the mean of n repetitions and the interval that covers the "
        f"true mean with 95 % confidence (Student's t). The ratio is to {base} with the same NIC and "
        "direction in the same repetition (geometric mean). Intervals that overlap widely do not tell "
        "two cells apart.",
        (table,),
        (figure,) if figure else (),
    )


def latency(answers: Answers) -> Section:
    """Round trips: figure of the medians with a tick at p99, table of all quantiles."""
    by_cell: dict[tuple[str, str], dict[str, Row]] = {}
    for row in answers.ask("latency"):
        by_cell.setdefault(_who(row), {})[row["metric"]] = row
    found: list[Bar] = []
    lines: list[tuple[object, ...]] = []
    for (nic, name), metrics in sorted(by_cell.items()):
        if not (row := metrics.get("rtt_p50", {})):
            continue
        tail = present(metrics["rtt_p99"]["mean"]) if "rtt_p99" in metrics else None
        part = (name, row["mean"], _colour(name))
        ends = present(row["low"]), present(row["high"])
        found.append(Bar(f"{nic}, {name}", (part,), microseconds(row["mean"]), *ends, tail))
        others = [
            microseconds(metrics[key]["mean"]) if key in metrics else "" for key in ("rtt_p90", "rtt_p99")
        ]
        interval = span(microseconds(row["low"]), microseconds(row["high"]))
        ratio_ends = span(times(row["ratio_low"]), times(row["ratio_high"]))
        lines.append(
            (
                nic,
                name,
                microseconds(row["mean"]),
                interval,
                *others,
                times(row["ratio"]),
                ratio_ends,
                row["n"],
            )
        )
    base = base_name(answers)
    figure = bars("latency", "Median round-trip time of each cell, tick at p99", {"round trip": found}, "µs")
    table = Table.of(
        "", f"NIC|back end|#p50|#95 % interval|#p90|#p99|#p50 of {base}|#95 % interval|#n", lines
    )
    return Section(
        "latency",
        "Round-trip latency",
        "One small message at a time, there and back, without probes. Each figure is the mean over n "
        "repetitions of that repetition's own quantile; the interval is on the median's mean, the tick "
        "in the figure is p99. A ratio above 1 is slower.",
        (table,),
        (figure,) if figure else (),
    )


def cpu(answers: Answers) -> Section:
    """CPU seconds per GB by thread."""
    rows = answers.ask("cpu")
    colours = {
        thread: PARTS[index % len(PARTS)]
        for index, thread in enumerate(dict.fromkeys(row["thread"] for row in rows))
    }
    panels: dict[str, list[Bar]] = {}
    for way, title in DIRECTIONS.items():
        cells: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row["way"] == way and row["s_per_gb"]:
                cells.setdefault(_who(row), []).append(row)
        panels[title] = [
            Bar(
                f"{nic}, {name}",
                tuple((row["thread"], row["s_per_gb"], colours[row["thread"]]) for row in found),
                plain_number(sum(row["s_per_gb"] for row in found)),
            )
            for (nic, name), found in cells.items()
        ]
    figure = bars("cpu", "CPU seconds per GB by thread", panels, "CPU seconds per GB of payload", legend=True)
    lines = [
        (
            *(*_who(row), row["way"], row["thread"], plain_number(row["s_per_gb"])),
            span(plain_number(row["low"]), plain_number(row["high"])),
            *(plain_number(row["seconds"]), size(row["payload"]), count(row["switches"]), row["n"]),
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


def cost(answers: Answers) -> Section:
    """Probed over plain."""
    names = {"throughput": ("throughput", bits), "rtt_p50": ("round trip p50", microseconds)}
    lines = []
    for row in answers.ask("probe_cost"):
        name, form = names[row["metric"]]
        ends = span(times(row["ratio_low"]), times(row["ratio_high"]))
        lines.append(
            (
                *_who(row),
                row["way"],
                name,
                form(row["plain"]),
                form(row["probed"]),
                times(row["ratio"]),
                ends,
                row["n"],
            )
        )
    return Section(
        "cost",
        "What the probes cost",
        "The same cell with probes over without them, paired by repetition: a throughput of 0.80 × means "
        "that the probes took a fifth; a round trip above 1 × means that they made it longer. Counts are "
        "of probed measurements, speeds in the other sections of unprobed ones.",
        (
            Table.of(
                "", "NIC|back end|direction|metric|#without|#with|#with / without|#95 % interval|#n", lines
            ),
        ),
    )


def headline(answers: Answers) -> list[str]:
    """The comparison in sentences, one a NIC and direction."""
    said: list[str] = []
    base = base_name(answers)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in answers.ask("throughput"):
        groups.setdefault((row["nic"], row["way"]), []).append(row)
    for (nic, way), rows in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] != "tx")):
        rows = sorted(rows, key=lambda row: -row["mean"])
        parts = [_said(row, base, bits(row["mean"])) for row in rows]
        said.append(f"{nic}, {DIRECTIONS.get(way, way)}: {', '.join(parts)}.")
    groups.clear()
    for row in answers.ask("latency"):
        if row["metric"] == "rtt_p50":
            groups.setdefault((row["nic"], row["way"]), []).append(row)
    for (nic, _), rows in sorted(groups.items()):
        rows = sorted(rows, key=lambda row: row["mean"])
        parts = [_said(row, base, duration(row["mean"] * 1e3)) for row in rows]
        said.append(f"{nic}, median round trip: {', '.join(parts)}.")
    return said


def _said(row: Row, base: str, value: str) -> str:
    name = backend(row["netdev"], row["datapath"])
    if name == base or present(row["ratio"]) is None:
        return f"{name} {value}"
    ends = span(times(row["ratio_low"]), times(row["ratio_high"]))
    ends = "" if row["ratio_low"] is None else f" [{ends}]"
    return f"{name} {value} ({times(row['ratio'])} {base}{ends})"
