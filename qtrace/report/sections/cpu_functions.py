"""The functions in which CPU time was spent."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.analyses.cpu_functions import ALL_THREADS
from qtrace.analyses.methods.data import CELL
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.rows import who
from qtrace.report.section import PathRows, ReportSection
from qtrace.report.speech import say
from qtrace.report.text import clean, count, plain_number

__all__ = ["SECTION"]

_SHOWN = 12  # functions of one path
_BESIDE_A_PATH = 4  # functions in the line below a walked path


def write(answers: Answers) -> Section:
    """The most frequent functions of each path, by thread."""
    rows = answers.ask("cpu_functions")
    lines = []
    kept: dict[tuple[str, ...], int] = {}
    for row in rows:
        cell = tuple(str(row[name]) for name in CELL)
        if row["thread"] == ALL_THREADS:
            continue
        kept[cell] = kept.get(cell, 0) + 1
        if kept[cell] <= _SHOWN:
            lines.append(
                (
                    *who(row),
                    row["thread"],
                    row["function"],
                    row["file"],
                    _share(row),
                    plain_number(row["seconds"]),
                    count(row["samples"]),
                )
            )
    heads = "NIC|back end|thread|$function|file|#share of the thread|#CPU s|#samples"
    return Section(
        "cpu-functions",
        "Where the CPU time goes",
        "The function that each thread executed, sampled at a fixed frequency on each processor: a "
        "function's own time, without its callees'. `[kernel]` is the kernel, under KVM with the guest's own"
        " time; `[guest code]` is the code that TCG generated for the guest; `unknown` are functions of that"
        " file without a known name, listed with the nearest named functions before and behind. A share is "
        "followed by its 95 % interval, computed as if samples were independent.",
        (Table.of("", heads, lines),),
    )


def in_words(path: PathRows) -> Iterator[str]:
    """The most frequent functions of all threads in one line; empty without samples."""
    mine = [row for row in path.ask("cpu_functions") if row["thread"] == ALL_THREADS][:_BESIDE_A_PATH]
    if mine:
        parts = [f"{clean(row['function'])}{_of_unknown(row)} {100 * row['share']:.0f} %" for row in mine]
        yield say(
            "CPU time of the whole QEMU, {number} samples: {functions}",
            number=count(mine[0]["of"]),
            functions=", ".join(parts),
        )


def _share(row: Row) -> str:
    """`12.3 % (10.1 to 14.9 %)`: a share with its 95 % interval."""
    low, high = (f"{100 * row[end]:.1f}" for end in ("low", "high"))
    share = f"{100 * row['share']:.1f}"
    return say("{share} % ({low} to {high} %)", share=share, low=low, high=high)


def _of_unknown(row: Row) -> str:
    return f" in {clean(row['file'])}" if row["function"].startswith("unknown") else ""


SECTION = ReportSection(1200, write, ("cpu_functions",), in_words=in_words)
