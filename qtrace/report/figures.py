"""The bar charts, drawn by matplotlib; text and lines take the colour of the page around them."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from qtrace.report.document import Figure

__all__ = ["PARTS", "Bar", "backend_colour", "bars", "fitting"]

# Okabe and Ito's palette, which colour-blind readers can distinguish.
_BACKENDS = {"user": "#e69f00", "tap": "#0072b2", "tap + vhost": "#009e73"}
PARTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b5a900", "#8c8c8c")
# An unlikely colour: it is replaced by `currentColor` in the SVG.
_INK = "#010203"
_STYLE = "<style>svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"
_RC = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"),
        _INK,
    ),
}
_WIDTH = 5.0  # inches: narrow, so that the text is readable at the width of a telephone


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: `parts` are (name, value, colour) laid end to end; `low` and `high` its interval.

    `mark` is a second value shown as a tick (a tail latency); `label` stands behind the bar.
    """

    name: str
    parts: tuple[tuple[str, float, str], ...]
    label: str = ""
    low: float | None = None
    high: float | None = None
    mark: float | None = None

    @property
    def total(self) -> float:
        return sum(value for _, value, _ in self.parts)


def backend_colour(name: str) -> str:
    """The colour of a back end, by its name in the report."""
    return _BACKENDS.get(name.partition(", ")[0], PARTS[-1])


def fitting(values: Iterable[float], units: Mapping[str, float]) -> tuple[str, float]:
    """The unit of one axis for all of these values, and its size: the largest of which one has at least 1."""
    largest = max(values, default=0.0)
    return next((item for item in units.items() if largest >= item[1]), list(units.items())[-1])


def bars(
    name: str, text: str, panels: Mapping[str, Sequence[Bar]], axis: str, *, legend: bool = False
) -> Figure | None:
    """Horizontal bars in panels one above the other, on one scale. None if there is nothing to draw."""
    panels = {title: found for title, found in panels.items() if found}
    if not panels:
        return None
    with matplotlib.rc_context({**_RC, "svg.hashsalt": name}):
        svg = _draw(panels, axis, legend)
    # Remove output that differs from run to run of matplotlib, or that overrides the browser's own choice.
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace(_INK, "currentColor")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, 'DejaVu Sans', sans-serif", svg)
    svg = re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
    # Several figures share one page, so their ids must differ.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    alone = svg.replace(">", f">\n{_STYLE}", 1)
    return Figure(name, text, '<?xml version="1.0" encoding="utf-8"?>\n' + alone, svg)


def _draw(panels: Mapping[str, Sequence[Bar]], axis: str, legend: bool) -> str:
    heights = [len(found) + 0.9 for found in panels.values()]
    figure = Canvas(figsize=(_WIDTH, 0.27 * sum(heights) + 0.75 + 0.3 * legend), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    reach = max(max(bar.total, bar.high or 0, bar.mark or 0) for found in panels.values() for bar in found)
    shown: dict[str, str] = {}
    for axes, (title, found) in zip(all_axes, panels.items(), strict=True):
        for row, bar in enumerate(found):
            shown |= _bar(axes, row, bar, reach)
        axes.set_yticks(range(len(found)), [bar.name for bar in found])
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.tick_params(length=0)
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        axes.set_xlim(0, reach * 1.3 or 1)
        axes.grid(axis="x", color=_INK, alpha=0.13, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.patch.set_alpha(0)
    all_axes[-1].set_xlabel(axis)
    if legend:
        keys = [matplotlib.patches.Patch(color=colour, label=label) for label, colour in shown.items()]
        figure.legend(
            handles=keys,
            loc="outside lower center",
            ncols=2 if len(keys) > 3 else 3,
            frameon=False,
            fontsize=8.5,
        )
    out = io.StringIO()
    with warnings.catch_warnings():
        # The text is drawn by the browser, with its own fonts: matplotlib only lays it out.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _bar(axes: Any, row: int, bar: Bar, reach: float) -> dict[str, str]:
    """Draw one bar; returns its parts' names and colours for the legend."""
    left = 0.0
    for _, value, colour in bar.parts:
        axes.barh(row, value, left=left, color=colour, height=0.66, linewidth=0)
        left += value
    end = left
    if bar.low is not None and bar.high is not None:
        low = max(bar.low, 0.0)
        axes.plot([low, bar.high], [row, row], color=_INK, linewidth=1.1, solid_capstyle="butt")
        for at in (low, bar.high):
            axes.plot([at, at], [row - 0.14, row + 0.14], color=_INK, linewidth=1.1)
        end = max(end, bar.high)
    if bar.mark is not None:
        axes.plot([bar.mark, bar.mark], [row - 0.3, row + 0.3], color=_INK, linewidth=1.8)
        end = max(end, bar.mark)
    axes.text(end + reach * 0.015, row, bar.label, va="center", ha="left", fontsize=8.5)
    return {name: colour for name, _, colour in bar.parts}
