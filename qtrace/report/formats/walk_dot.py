"""A walk as a directed graph in Graphviz's language: `qtrace walk … --format dot | dot -Tsvg`."""

from __future__ import annotations

from qtrace.report.text import plain
from qtrace.report.walked import Walked, place

__all__ = ["write"]


def write(walked: Walked) -> str:
    """The whole walk: stages are round and bold, a call through a pointer is dashed and labelled with its
    kind."""
    lines = ["digraph walk {", f"    label={_label(walked.title)}; labelloc=t; node [shape=box];"]
    for number, step in enumerate(walked.steps):
        words = [step.function, place(step.file, step.line), *walked.notes(step)]
        if step.stage:
            lines.append(f'    s{number} [style="rounded,bold", label={_label(step.stage.value, *words)}];')
        else:
            lines.append(f"    s{number} [label={_label(*words)}];")
        if number:
            kind = step.call.kind if step.call else "hardware"
            how = "" if kind == "direct" else f" [style=dashed, label={_label(kind)}]"
            lines.append(f"    s{number - 1} -> s{number}{how};")
    return "\n".join([*lines, "}"]) + "\n"


def _label(*lines: str) -> str:
    """A label with these lines. They are data: escapes and entities of Graphviz are neutralised."""
    escaped = [
        plain(line).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        for line in lines
    ]
    return '"' + "\\n".join(escaped) + '"'
