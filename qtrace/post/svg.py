"""Drawings whose colours are the page's: text and lines take the colour of the text around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import escape

from qtrace.report.text import clean

__all__ = ["Canvas", "page_svg", "standalone_svg"]

# For a drawing in a file of its own, which has no page around it.
_ALONE = "<style>svg{color:#1f2328}@media (prefers-color-scheme: dark){svg{color:#e6edf3}}</style>"
_FACE = 'system-ui, "Noto Sans CJK SC", "Noto Sans SC", sans-serif'


_WIDTH = re.compile(r'width="(\d+)" style="')
_LEAST = 0.75  # of a drawing's size its text can still be read


def page_svg(svg: str) -> str:
    """On one line, as it stands in a page: no blank line ends a block of HTML. It becomes narrower with the
    page only as long as its text can be read; then what is around it has to scroll."""
    whole = " ".join(svg.split("\n")).strip()
    return _WIDTH.sub(lambda found: f"{found[0]}min-width:{int(found[1]) * _LEAST:.0f}px;", whole, count=1)


def standalone_svg(svg: str) -> str:
    """As a file by itself: the system's theme decides."""
    head, _, rest = svg.partition(">")
    return f"{head}>{_ALONE}{rest}\n"


def width_of(text: str, size: float) -> float:
    """About how wide a text is drawn: a Han character is as wide as it is high."""
    return sum(size if ord(char) > 0x2E7F else size * 0.56 for char in text)


@dataclass(slots=True)
class Canvas:
    """Shapes in user units; `y` grows downward. What is written is escaped."""

    name: str
    words: str
    width: float = 0
    height: float = 0
    _parts: list[str] = field(default_factory=list)

    def box(
        self, x: float, y: float, width: float, height: float, lines: Sequence[str], *, kind: str = ""
    ) -> None:
        """A box with lines of text in its middle, the first one bold. `kind` `group` is a dashed frame
        with its title at the top, `accent` a filled one, `absent` a dashed one for what was not measured."""
        dash = ' stroke-dasharray="5 4"' if kind in ("group", "absent") else ""
        fill = {"group": "0", "accent": ".16"}.get(kind, ".04")
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" '
            f'fill="currentColor" fill-opacity="{fill}" stroke="currentColor" stroke-opacity=".55"{dash}/>'
        )
        if kind == "group":
            self.text(x + 10, y + 17, lines[0], size=12, soft=True)
        else:
            top = y + height / 2 - (len(lines) - 1) * 8 + 4.5
            for number, line in enumerate(lines):
                self.text(x + width / 2, top + 16 * number, line, anchor="middle", bold=not number, size=12.5)
        self._grow(x + width, y + height)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        size: float = 12,
        bold: bool = False,
        soft: bool = False,
    ) -> None:
        """One line of text."""
        weight = ' font-weight="600"' if bold else ""
        faded = ' fill-opacity=".7"' if soft else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="currentColor"'
            f"{weight}{faded}>{escape(clean(text))}</text>"
        )
        share = {"start": 1.0, "middle": 0.5}.get(anchor, 0.0)
        self._grow(x + share * width_of(text, size), y + 4)

    def line(
        self, points: Sequence[tuple[float, float]], *, arrow: bool = False, dashed: bool = False
    ) -> None:
        """A line through `points`, with an arrow's head at its end."""
        path = " ".join(f"{'M' if not at else 'L'}{x:.1f} {y:.1f}" for at, (x, y) in enumerate(points))
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        head = f' marker-end="url(#{self.name}-head)"' if arrow else ""
        self._parts.append(
            f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".75" stroke-width="1.4"'
            f"{dash}{head}/>"
        )
        for x, y in points:
            self._grow(x, y)

    def svg(self) -> str:
        """The whole drawing."""
        width, height = self.width + 12, self.height + 12
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" '
            f'style="max-width:100%;height:auto" role="img" aria-labelledby="{self.name}-words" '
            f"font-family='{_FACE}'>"
        )
        marker = (
            f'<defs><marker id="{self.name}-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 1L9 5L0 9z" fill="currentColor"/></marker></defs>'
        )
        title = f'<title id="{self.name}-words">{escape(clean(self.words))}</title>'
        return head + title + marker + "".join(self._parts) + "</svg>"

    def _grow(self, x: float, y: float) -> None:
        self.width, self.height = max(self.width, x), max(self.height, y)
