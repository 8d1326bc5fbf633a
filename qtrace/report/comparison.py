"""Two runs compared: the answer in a sentence, the conditions that differ, a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtrace.analyses.methods.run_comparison import VERDICTS, compare_runs
from qtrace.report.answers import Answers, Row, as_rows
from qtrace.report.formats.markdown import escaped
from qtrace.report.text import backend, bits, clean, microseconds, plain_number, span, times

__all__ = ["Comparison", "as_markdown", "as_text"]

_ARROWS = {"tx": "guest → host", "rx": "host → guest", "both": "both"}
_HEADINGS = (
    "NIC",
    "back end",
    "direction",
    "workload",
    "metric",
    "first",
    "second",
    "ratio",
    "95 %",
    "verdict",
)
# The clock of a run is no condition that a reader could keep.
_NOT_KEPT = frozenset({"date"})


@dataclass(frozen=True)
class Comparison:
    """`first` and `second` name the runs; `differing` is condition -> its texts, where they differ;
    `unfinished` says which run has not ended. `rows` are those of `analyses.methods.run_comparison`."""

    first: str
    second: str
    margin: float
    relative: bool
    differing: Mapping[str, tuple[str, str]]
    rows: Sequence[Row]
    unfinished: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        first: Answers,
        second: Answers,
        better: Mapping[str, str],
        *,
        metrics: Collection[str],
        margin: float,
        relative: bool = False,
    ) -> Comparison:
        """Compare two runs. Raises StoreError where they cannot be."""
        frame = compare_runs(
            first.data, second.data, better, margin=margin, metrics=metrics, relative=relative
        )
        said = [
            {str(key): str(value) for key, value in item.run.meta["conditions"].items()}
            for item in (first, second)
        ]
        pairs = {name: (said[0].get(name, ""), said[1].get(name, "")) for name in {**said[0], **said[1]}}
        differing = {
            name: pair for name, pair in pairs.items() if pair[0] != pair[1] and name not in _NOT_KEPT
        }
        names = (str(first.run.path), str(second.run.path))
        unfinished = [
            f"{name} is {item.run.meta['status']}: only its measurements so far are compared"
            for name, item in zip(names, (first, second), strict=True)
            if item.run.meta["status"] in ("running", "interrupted")
        ]
        return cls(*names, margin, relative, differing, as_rows(frame), unfinished)

    @property
    def headline(self) -> str:
        """`2 slower, 1 faster, 10 same (within 2 %), 2 not known.`"""
        counts = Counter(row["verdict"] for row in self.rows)
        if not counts:
            return "The runs have nothing that could be compared: no metric without probes."
        within = f" (within {plain_number(100 * self.margin, 2)} %)"
        parts = (
            f"{counts[name]} {name}{within if name == 'same' else ''}" for name in VERDICTS if counts[name]
        )
        return ", ".join(parts) + "."

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "first": self.first,
            "second": self.second,
            "margin": self.margin,
            "relative": self.relative,
            "unfinished": list(self.unfinished),
            "differing": {name: list(pair) for name, pair in self.differing.items()},
            "counts": {name: sum(row["verdict"] == name for row in self.rows) for name in VERDICTS},
            "rows": list(self.rows),
        }

    def table(self) -> list[tuple[str, ...]]:
        """A row a cell and metric, formatted; what became slower first."""
        order = sorted(self.rows, key=lambda row: VERDICTS.index(row["verdict"]))
        return [_cells(row) for row in order]


def as_text(comparison: Comparison) -> str:
    """For a terminal, in aligned columns."""
    lines = [f"{clean(comparison.second)} against {clean(comparison.first)}: {comparison.headline}"]
    lines += [f"  {text}" for text in _conditions(comparison)]
    rows = [_HEADINGS, *comparison.table()] if comparison.rows else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        lines.append("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    return "\n".join(lines) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """For a page or a comment on a change."""
    lines = [
        f"**{escaped(comparison.second)}** against **{escaped(comparison.first)}**: {comparison.headline}",
        "",
    ]
    lines += [f"- {escaped(text)}" for text in _conditions(comparison)]
    if comparison.rows:
        lines += ["", f"| {' | '.join(_HEADINGS)} |", "|" + " --- |" * len(_HEADINGS)]
        lines += [f"| {' | '.join(map(escaped, row))} |" for row in comparison.table()]
    return "\n".join(lines) + "\n"


def _conditions(comparison: Comparison) -> list[str]:
    said = [
        f"{clean(name)}: {clean(first) or 'unsaid'} → {clean(second) or 'unsaid'}"
        for name, (first, second) in comparison.differing.items()
    ]
    said += map(clean, comparison.unfinished)
    if comparison.relative:
        said.append("Each value is its ratio to the baseline of its own run.")
    return said


def _cells(row: Row) -> tuple[str, ...]:
    low, high = (plain_number(row[name]) for name in ("low", "high"))
    verdict = f"{row['verdict']}: {row['reason']}" if row["reason"] else row["verdict"]
    return (
        clean(row["nic"]),
        backend(row["netdev"], row["datapath"]),
        _ARROWS.get(row["way"], clean(row["way"])),
        clean(row["workload"]),
        clean(row["metric"]),
        *(_value(row[name], row["unit"], row[f"{name}_n"]) for name in ("first", "second")),
        times(row["ratio"]),
        span(low, high),
        verdict,
    )


def _value(value: object, unit: str, number: int) -> str:
    written = {"bit/s": bits, "us": microseconds, "1": times}.get(unit)
    text = written(value) if written else f"{plain_number(value)} {clean(unit)}"
    return f"{text} (n = {number})" if number else text
