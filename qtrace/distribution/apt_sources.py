"""The archives in the user's apt configuration: sources.list(5), in both of its forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Archive", "archives"]

_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)


@dataclass(frozen=True, slots=True)
class Archive:
    """One entry for binary packages."""

    uris: str
    suites: str
    components: str
    signed_by: str
    trusted: str = ""

    def stanza(self) -> str:
        """The entry in deb822 form, with source packages enabled."""
        lines = [
            "Types: deb deb-src",
            f"URIs: {self.uris}",
            f"Suites: {self.suites}",
            f"Components: {self.components}",
        ]
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        if self.trusted:  # a private mirror without a signature
            lines.append(f"Trusted: {self.trusted}")
        return "\n".join(lines) + "\n"


def archives(etc: Path = Path("/etc/apt")) -> list[Archive]:
    """Every enabled archive of sources.list and sources.list.d, in apt's order."""
    found: list[Archive] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            found += _deb822(text)
        elif path.suffix == ".list":
            found += _one_line(text)
    return found


def _deb822(text: str) -> Iterator[Archive]:
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" in fields.get("types", "").split():
            yield Archive(
                fields.get("uris", ""),
                fields.get("suites", ""),
                fields.get("components", ""),
                fields.get("signed-by", ""),
                fields.get("trusted", ""),
            )


def _one_line(text: str) -> Iterator[Archive]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#")[0].strip())
        if match:
            options = dict(
                option.split("=", 1) for option in (match["options"] or "").split() if "=" in option
            )
            signed_by, trusted = options.get("signed-by", ""), options.get("trusted", "")
            yield Archive(match["uri"], match["suite"], match["components"], signed_by, trusted)
