"""A walk as one HTML page: each step opens its source, read from the user's own tree when the page is made.

Only QEMU may distribute QEMU's source: the page is for the user's own reading.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from qtrace.model import Step
from qtrace.report.formats.html import environment
from qtrace.report.text import clean
from qtrace.report.walked import Walked, evidence
from qtrace.store.index import Index

__all__ = ["write"]

_MOST_LINES = 120  # shown lines of one function
_AROUND = 2  # lines before and behind a line of evidence


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class _Shown:
    """A place with its lines; `lines` are empty if the tree no longer has it."""

    where: str
    why: str
    lines: tuple[_Line, ...]


@dataclass(frozen=True, slots=True)
class _Drawn:
    function: str
    stage: str
    kind: str
    where: str
    notes: tuple[str, ...]
    measured: tuple[str, ...]
    ways: tuple[str, ...]
    shown: tuple[_Shown, ...]


def write(walked: Walked) -> str:
    """The whole page, self-contained, with the run's measurements if there is a run."""
    tree = _Tree(walked.index)
    drawn = [_draw(step, tree, walked) for step in walked.steps]
    template = environment().get_template("walk.html.j2")
    page = template.render(
        title=walked.title,
        end=walked.end,
        steps=drawn,
        qemu=walked.index.meta["qemu"],
        changed=sorted(tree.changed),
        head=walked.head,
        tail=walked.tail,
    )
    return f"{page}\n"


class _Tree:
    """Reads lines of the indexed trees, QEMU's and its libraries', and no other file."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._files: dict[str, list[str]] = {}
        self.changed: set[str] = set()  # files changed since they were indexed

    def lines(self, file: str, first: int, last: int, marked: int) -> tuple[_Line, ...]:
        if file not in self._files:
            root, name = self._index.place(file)
            root = root.resolve()
            path = (root / name).resolve()
            content = path.read_bytes() if path.is_relative_to(root) and path.is_file() else b""
            if content and self._index.content_of(root / name) != hashlib.sha256(content).hexdigest():
                self.changed.add(clean(file))
            self._files[file] = content.decode(errors="replace").splitlines()
        text = self._files[file]
        span = range(max(1, first), min(last, len(text)) + 1)
        return tuple(_Line(number, text[number - 1].expandtabs(8), number == marked) for number in span)


def _draw(step: Step, tree: _Tree, walked: Walked) -> _Drawn:
    last = walked.index.end_of(step.function, step.file) or step.line
    end = min(last, step.line + _MOST_LINES)
    why = f"the first {_MOST_LINES} of {last - step.line + 1} lines" if end < last else ""
    body = _Shown(_where(step.file, step.line), why, tree.lines(step.file, step.line, end, step.line))
    reasons = [
        _Shown(
            _where(item.file, item.line),
            clean(item.why),
            tree.lines(item.file, item.line - _AROUND, item.line + _AROUND, item.line),
        )
        for item in evidence(step)
    ]
    return _Drawn(
        function=clean(step.function),
        stage=step.stage.value if step.stage else "",
        kind=clean(step.call.how) if step.call else "hardware",
        where=body.where,
        notes=tuple(clean(note) for note in step.remarks),
        measured=tuple(walked.notes(step)),
        ways=tuple(clean(line) for line in walked.told(step)),
        shown=(*reasons, body),
    )


def _where(file: str, line: int) -> str:
    return clean(f"{file}:{line}" if line else file or "outside QEMU")
