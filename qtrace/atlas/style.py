"""The style sheet of all pages: the report's own, with colours that the page's switch can turn."""

from __future__ import annotations

import re

from qtrace.atlas.edition import templates

__all__ = ["style_sheet", "switchable"]

_DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{\s*([^{}]+?)\s*\{([^{}]*)\}\s*\}\n?")
_COLOUR = re.compile(r"(--[\w-]+):\s*([^;]+);")


def style_sheet() -> str:
    """The whole of assets/atlas.css."""
    loader = templates()
    found = [loader.get_template(name).render() for name in ("report.css", "path.css")]
    return "\n".join([*map(switchable, found), loader.get_template("atlas.css").render()])


def switchable(css: str) -> str:
    """The same rules with `light-dark()`, which goes by the element's colour scheme, in place of a query for
    the system's."""
    dark: dict[tuple[str, str], str] = {}
    for selector, body in _DARK.findall(css):
        dark |= {(selector.strip(), name): value.strip() for name, value in _COLOUR.findall(body)}

    def both(rule: re.Match[str]) -> str:
        selector = rule[1].strip()

        def colour(match: re.Match[str]) -> str:
            value = dark.get((selector, match[1]))
            return f"{match[1]}: light-dark({match[2].strip()}, {value});" if value else match[0]

        return f"{rule[1]}{{{_COLOUR.sub(colour, rule[2])}}}"

    return re.sub(r"([^{}@]+)\{([^{}]*)\}", both, _DARK.sub("", css))
