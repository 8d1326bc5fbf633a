"""Why one cell is faster than another: the measured ratio as a product of factors, for each pair."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.analyses.cpu_functions import ALL_THREADS
from qtrace.analyses.methods.data import CELL
from qtrace.analyses.methods.traced_costs import LEAST_SAMPLES
from qtrace.analyses.methods.windows import QEMU, thread_role
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.pair_rows import ComparedPair, compared_pairs, quantity
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import clean, count, span, times

__all__ = ["SECTION"]

# A cell's key and a thread -> function -> (samples, file).
_Samples = dict[tuple[str, ...], dict[str, tuple[int, str]]]


def write(answers: Answers) -> Section:
    """A table for each pair: every factor with its two values, its number, and the stage where it shows."""
    samples = _samples(answers)
    return Section(
        "factors",
        "Why: the ratios taken apart",
        say(
            "Each table takes one measured ratio apart. The factors at the margin multiply to the "
            "ratio, and those set in below a factor multiply to that factor; with the rest the product "
            "is exact. Numbers are from measurements without probes; the stage at which a factor shows,"
            " system calls and functions are from measurements with probes, whose traffic may differ "
            "(see the ledger). `processors busy` is the CPU time of all threads of QEMU and of vhost in"
            " a second; `time around the traffic` is the measurement's duration over that of its "
            "traffic: start and end of the workload. Under TCG the guest's code runs `in QEMU`."
        )
        + _of_functions(answers),
        tuple(_table(pair, samples) for pair in compared_pairs(answers)),
    )


def _of_functions(answers: Answers) -> str:
    """What a reader must know of samples; nothing where none were taken."""
    if not answers.ask("cpu_functions"):
        return ""
    return say(
        " A thread's time in QEMU is divided among its functions by samples, where both sides have "
        "{least} of it or more: their own time, without their callees'.",
        least=LEAST_SAMPLES,
    )


def _samples(answers: Answers) -> _Samples:
    """Of each cell and thread: function -> its samples and its file; the kernel's and the guest's are
    another part of the thread's time."""
    found: _Samples = {}
    for row in answers.ask("cpu_functions"):
        if row["thread"] != ALL_THREADS and not str(row["function"]).startswith("["):
            key = (*(str(row[name]) for name in CELL), thread_role(str(row["thread"])))
            functions = found.setdefault(key, {})
            before, _ = functions.get(str(row["function"]), (0, ""))
            functions[str(row["function"])] = before + int(row["samples"]), str(row["file"] or "")
    return found


def _seen(pair: ComparedPair, row: Row, samples: _Samples) -> tuple[str, tuple[bool, bool]]:
    """The samples of a function on both sides with its file, or why a thread's time is not divided; and
    whether each side has a number."""
    whole = pair.whole
    other = whole | {name: whole[f"than_{name}"] for name in ("nic", "netdev", "datapath")}
    sides = [
        samples.get((*(str(one[name]) for name in CELL), str(row["thread"])), {}) for one in (whole, other)
    ]
    if row["factor"] == QEMU and row["leaf"] and any(sides):
        numbers = " / ".join(count(sum(number for number, _ in side.values())) for side in sides)
        why = say(
            "not by function: {numbers} samples, of {least} on each side",
            numbers=numbers,
            least=LEAST_SAMPLES,
        )
        return why, (True, True)
    found = [side.get(str(row["factor"])) for side in sides]
    if not row["of"].endswith(f" / {QEMU}") or not any(found):
        return "", (True, True)
    file = next(one[1] for one in found if one)
    numbers = " / ".join(count(one[0]) if one else "0" for one in found)
    seen = bool(found[0]), bool(found[1])
    return say("{numbers} samples, {file}", numbers=numbers, file=clean(file)), seen


def _table(pair: ComparedPair, samples: _Samples) -> Table:
    one, two = pair.names
    lines = [_line("measured ratio", pair.whole, "")]
    for row in pair.factors:
        depth = row["of"].count(" / ") + 1 if row["of"] else 0
        name = "\u2003" * depth + told(clean(row["factor"]))
        told_of, seen = _seen(pair, row, samples)
        lines.append(_line(name, row, told_of or pair.stage_of(row), seen))
    lines.append(_line("rest, unexplained", pair.rest, ""))
    heads = f"factor|#{one.replace('|', ' ')}|#{two.replace('|', ' ')}|#times|#95 %|shows at"
    return Table.of(pair.title, heads, lines, said(pair))


def said(pair: ComparedPair) -> str:
    """`user is 0.116 × tap (0.102 to 0.133 ×): a frame carries … (0.028 ×); …`."""
    one, two = pair.names
    row = pair.whole
    ends = span(times(row["low"]), times(row["high"]))
    slower = (row["times"] < 1) == (row["metric"] == "throughput")
    verdict = say("{one} is slower", one=one) if slower else say("{one} is faster", one=one)
    if not pair.is_told:
        verdict = say("{one} cannot be told from {two}", one=one, two=two)
    ratio = say("{ratio} {base} ({ends})", ratio=times(row["times"]), base=two, ends=ends)
    head = say("{verdict}: {ratio}", verdict=verdict, ratio=ratio)
    if parts := list(pair.why()):
        return say("{head}, because {parts}.", head=head, parts=say("; ").join(parts))
    return say("{head}. No factor's interval excludes 1.", head=head)


def _line(
    name: str, row: dict[str, object], stage: str, seen: tuple[bool, bool] = (True, True)
) -> tuple[object, ...]:
    """What no sample hit has no time: it may be short."""
    unit = str(row["unit"])
    values = zip(("value", "than_value"), seen, strict=True)
    return (
        name,
        *(quantity(row[side] if known else None, unit) for side, known in values),
        times(row["times"]),
        span(times(row["low"]), times(row["high"])),
        stage,
    )


def because(answers: Answers) -> Iterator[str]:
    """The reason of each ratio whose interval excludes 1."""
    for pair in compared_pairs(answers):
        if pair.is_told:
            yield say("{about}: {said}", about=pair.about, said=said(pair))


SECTION = ReportSection(20, write, ("factors", "factor_stages"), because=because)
