"""The drawing of a path: its stages as cards from the top down, each in its part of the machine."""

from __future__ import annotations

from qtrace.model import Path
from qtrace.post.article import Picture
from qtrace.post.language import Language
from qtrace.post.svg import Canvas, width_of
from qtrace.report.drawing import Card, Drawn
from qtrace.report.text import clean

__all__ = ["draw_cards", "part_of"]

# Narrow, and no text smaller than `_SMALL`: on a telephone it has three quarters of its size.
_WIDTH, _SMALL = 430.0, 11.0
_LINE, _TOP = 16.0, 62.0
# The parts of the machine as `qtrace.report.drawing.layer` has them -> the word of the posts' drawings.
_PARTS = {"device": "nic", "core": "core", "backend": "backend", "library": "library", "kernel": "host"}


def part_of(card: Card, language: Language) -> str:
    """The part of the machine in which a stage is, in the post's language."""
    return language.word(_PARTS[card.layer])


def draw_cards(path: Path, drawn: Drawn, language: Language) -> Picture:
    """The stages with what was counted, and between them the functions passed and the times. What is
    dashed was not measured."""
    name = f"path-{path.direction}"
    canvas = Canvas(name, drawn.text)
    canvas.text(8, 20, f"{drawn.title} · {language.word(path.direction.value)}", size=14, bold=True)
    canvas.text(8, 38, f"{drawn.crossing} {clean(path.boundary.name)}", size=12, soft=True)
    y = _TOP
    for number, card in enumerate(drawn.cards):
        if number or card.via:
            y = _draw_gap(canvas, card, y)
        y = _draw_card(canvas, card, y, language)
    return Picture(name, drawn.text, canvas.svg())


def _draw_gap(canvas: Canvas, card: Card, y: float) -> float:
    """The way from the stage before; gives where the next card begins."""
    took = f"{card.took}, {card.tail}" if card.took else ""
    lines = [line for line in (*card.via, took) if line]
    below = y + 14 + _LINE * len(lines)
    canvas.line([(18, y), (18, below)], arrow=True)
    for number, line in enumerate(lines):
        canvas.text(30, y + 17 + _LINE * number, line, size=_SMALL, bold=line == took, soft=line != took)
    return below


def _draw_card(canvas: Canvas, card: Card, y: float, language: Language) -> float:
    """One stage; gives where it ends. A line that is too wide for both its ends is broken."""
    pairs = [(card.function, f"{card.role} · {part_of(card, language)}"), (card.place, card.counted)]
    lines: list[tuple[str, str]] = []
    for left, right in pairs:
        if width_of(left, 12.5) + width_of(right, 12) > _WIDTH - 44:
            lines += [(left, ""), ("", right)]
        else:
            lines.append((left, right))
    if card.elsewhere:
        lines.append((card.elsewhere, ""))
    height = 12 + _LINE * len(lines)
    kind = "" if card.measured else "absent"
    canvas.box(4, y, _WIDTH, height, [], kind=kind)
    for number, (left, right) in enumerate(lines):
        at, first = y + 18 + _LINE * number, left == card.function
        if left:
            canvas.text(16, at, left, size=12.5 if first else _SMALL, bold=first, soft=not first)
        if right:
            canvas.text(_WIDTH - 8, at, right, anchor="end", size=_SMALL)
    return y + height
