"""Heat maps: one number for each NIC and back end, as an SVG that takes the colours of the page around it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import escape

from qtrace.report.document import Figure
from qtrace.report.speech import say, told
from qtrace.report.text import MISSING, clean

__all__ = ["HeatCell", "HeatMap", "draw_heat_maps"]

_STYLE = (
    "<style>svg{color:#1f2328;background:#fdfdfc}"
    "@media(prefers-color-scheme:dark){svg{color:#e6edf3;background:#101418}}</style>"
)
_FILL = "#0072b2"
_FAINT, _STRONG = 0.06, 0.5  # of the fill: text stays readable on both papers
_HIGH, _WIDE, _TOP = 40, 98, 44
_NARROW = 560  # px
_LETTER = 7.2  # the width of a letter of 12 px, at most


@dataclass(frozen=True, slots=True)
class HeatCell:
    """`value` is None where nothing was measured; `second` is the line below the value, `why` the reason."""

    value: float | None
    second: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """One map: `cells` by (row, column), `form` writes a value. A cell that is absent was not planned."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: dict[tuple[str, str], HeatCell]
    form: Callable[[object], str]
    more_is_better: bool


def draw_heat_maps(name: str, text: str, maps: Sequence[HeatMap]) -> Figure | None:
    """Maps of one quantity on one scale: the stronger the colour, the better. None without a number."""
    values = [cell.value for one in maps for cell in one.cells.values() if cell.value]
    if not values:
        return None
    ends = math.log(min(values)), math.log(max(values))
    left = 12 + _LETTER * max(len(row) for one in maps for row in one.rows)
    width = left + _WIDE * max(len(one.columns) for one in maps) + 4
    parts, y = [], 0.0
    for one in maps:
        parts.append(_map(one, left, y, ends))
        y += _TOP + _HIGH * len(one.rows) + 16
    size = f'viewBox="0 0 {width:.0f} {y:.0f}" width="{width:.0f}" height="{y:.0f}"'
    fonts = 'font-family="system-ui, \'DejaVu Sans\', sans-serif" font-size="12" fill="currentColor"'
    said = escape(text)
    # A wide map keeps its size, and its frame scrolls: text that shrinks cannot be read.
    style = f'style="width:{width:.0f}px;max-width:{"100%" if width < _NARROW else "none"}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} {fonts} role="img" aria-label="{said}">'
    body = "\n".join(parts) + "\n</svg>\n"
    return Figure(name, text, f"{svg}\n{_STYLE}\n{body}", f"{svg}\n{body}")


def _map(one: HeatMap, left: float, top: float, ends: tuple[float, float]) -> str:
    lines = [f'<text x="0" y="{top + 14:.0f}" font-weight="600">{escape(clean(one.title))}</text>']
    for number, column in enumerate(one.columns):
        x = left + _WIDE * (number + 0.5)
        lines.append(
            f'<text x="{x:.0f}" y="{top + 36:.0f}" text-anchor="middle">{escape(_short(column))}</text>'
        )
    for number, row in enumerate(one.rows):
        y = top + _TOP + _HIGH * number
        lines.append(f'<text x="0" y="{y + _HIGH / 2 + 4:.0f}">{escape(clean(row))}</text>')
        for place, column in enumerate(one.columns):
            cell = one.cells.get((row, column), HeatCell(None, why=say("not in the plan")))
            where = say("{nic} on {back}", nic=row, back=column)
            lines.append(_cell(one, cell, where, left + _WIDE * place, y, ends))
    return "\n".join(lines)


def _cell(one: HeatMap, cell: HeatCell, where: str, x: float, y: float, ends: tuple[float, float]) -> str:
    middle = f'x="{x + _WIDE / 2:.0f}" text-anchor="middle"'
    text = MISSING if cell.value is None else one.form(cell.value)
    value = (told(cell.why) or say("not measured")) if cell.value is None else text
    said = say("{where}: {value}", where=where, value=value)
    box = f'<rect x="{x + 1:.0f}" y="{y + 1:.0f}" width="{_WIDE - 2}" height="{_HIGH - 2}" rx="3"'
    if cell.value is None:
        shown = f'{box} fill="none" stroke="currentColor" stroke-opacity="0.25" stroke-dasharray="3 3"/>'
    else:
        shown = f'{box} fill="{_FILL}" fill-opacity="{_opacity(cell.value, ends, one.more_is_better):.2f}"/>'
    below = cell.second or (_short(told(cell.why)) if cell.value is None else "")
    lines = [f"<g><title>{escape(clean(said))}</title>{shown}"]
    lines.append(f'<text {middle} y="{y + (17 if below else 24):.0f}">{escape(text)}</text>')
    if below:
        lines.append(f'<text {middle} y="{y + 32:.0f}" font-size="10">{escape(below)}</text>')
    return "".join(lines) + "</g>"


def _opacity(value: float, ends: tuple[float, float], more_is_better: bool) -> float:
    low, high = ends
    share = (math.log(value) - low) / (high - low) if high > low and value > 0 else 1.0
    return _FAINT + (_STRONG - _FAINT) * (share if more_is_better else 1 - share)


def _short(text: str) -> str:
    """At most as many letters as a cell is wide; the whole is in the cell's title and in the table."""
    plain = re.sub(r"\s+", " ", clean(text))
    return plain if len(plain) <= 16 else plain[:15] + "…"
