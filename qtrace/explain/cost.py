"""What a pair of NIC and back end may be expected to cost: rows of a measured report, as they stand.

cost.toml is derived from reports/quick/report.md (`derive`), and a test holds it against that. A pair that
was not measured has no row: nothing is guessed from another.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

__all__ = ["cost", "derive"]

_TABLES = {"Throughput": "throughput", "Round-trip latency": "latency"}
_NAMES = {"of tap": "ratio", "p50 of tap": "ratio", "back end": "netdev", "NIC": "nic"}
_CONDITIONS = ("venue", "accelerator", "CPU", "QEMU", "kernel", "repetitions")


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return tomllib.loads(files("qtrace.explain").joinpath("cost.toml").read_text(encoding="utf-8"))


def cost(nic: str, netdev: str, vhost: bool) -> dict[str, Any] | None:
    """The measured rows of a pair, with the run and its conditions; None where it was not measured.

    `throughput` has a row for each direction, `latency` one; `ratio` is to tap with the same NIC.
    """
    data = _data()
    name = f"{netdev} + vhost" if vhost else netdev
    rows = {
        table: [row for row in data.get(table, ()) if (row["nic"], row["netdev"]) == (nic, name)]
        for table in _TABLES.values()
    }
    if not any(rows.values()):
        return None
    return {"run": data["run"], "report": data["report"], "conditions": data["conditions"], **rows}


def derive(text: str, report: str) -> str:
    """cost.toml of a report's Markdown: cells are copied word for word."""
    lines = ["# Derived from " + report + " by tests/explain/cost_table.py: do not edit.", ""]
    run = re.search(r"^Run ([\w.-]+),", text, re.MULTILINE)
    lines += [f"report = {_quoted(report)}", f"run = {_quoted(run[1] if run else '')}", "", "[conditions]"]
    for name, value in re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE):
        if name in _CONDITIONS:
            lines.append(f"{_quoted(name)} = {_quoted(value)}")
    for title, table in _TABLES.items():
        section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        rows = [line.strip("|").split("|") for line in section.split("\n") if line.startswith("|")]
        if len(rows) < 2:
            continue
        heads = _heads([cell.strip() for cell in rows[0]])
        for row in rows[2:]:
            lines += ["", f"[[{table}]]"]
            lines += [
                f"{_quoted(head)} = {_quoted(cell.strip())}" for head, cell in zip(heads, row, strict=True)
            ]
    return "\n".join(lines) + "\n"


def _heads(cells: list[str]) -> list[str]:
    """Names of columns; an interval is named after what it is of."""
    found: list[str] = []
    for cell in cells:
        found.append(f"{found[-1]} interval" if cell.endswith("interval") else _NAMES.get(cell, cell))
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
