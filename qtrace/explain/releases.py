"""The releases that accept an option, for a line written for another release: releases.toml."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files

__all__ = ["facts", "taken_by"]


@lru_cache(maxsize=1)
def facts() -> list[dict[str, str]]:
    """Every row: {of, option, since, until, instead}; a missing release is unknown."""
    text = files("qtrace.explain").joinpath("releases.toml").read_text(encoding="utf-8")
    found: list[dict[str, str]] = tomllib.loads(text)["fact"]
    return found


def taken_by(of: str, option: str) -> str:
    """In words, the releases that accept the option and its replacement in others; empty if unknown."""
    row = next((item for item in facts() if (item["of"], item["option"]) == (of, option)), None)
    if row is None:
        return ""
    since = f"from {row['since']} on" if "since" in row and "until" not in row else ""
    both = f"from {row.get('since', 'the first')} to {row['until']}" if "until" in row else ""
    instead = f"; in its place: {row['instead']}" if "instead" in row else ""
    return f"releases {since or both} take {option}{instead}"
