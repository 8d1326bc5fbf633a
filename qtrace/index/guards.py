"""The `#if` conditions around each line, read from the text: code in a disabled `#if` has no syntax tree."""

from __future__ import annotations

import re

__all__ = ["guards"]

_DIRECTIVE = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b\s*(.*?)\s*(?:/\*.*)?$")


def guards(text: str) -> list[str | None]:
    """For each line (from 0), the enclosing conditions, joined by `&&`; None outside of all.

    A header's include guard is a condition too; callers that must ignore it look only at C files.
    """
    found: list[str | None] = []
    stack: list[list[str]] = []
    for line in text.splitlines():
        match = _DIRECTIVE.match(line)
        if match:
            word, rest = match.groups()
            if word == "if":
                stack.append([rest])
            elif word == "ifdef":
                stack.append([f"defined({rest})"])
            elif word == "ifndef":
                stack.append([f"!defined({rest})"])
            elif word in ("elif", "else") and stack:
                past = [f"!({condition})" for condition in stack[-1][-1:]]
                stack[-1] = past + ([rest] if word == "elif" else [])
            elif word == "endif" and stack:
                stack.pop()
        conditions = [condition for level in stack for condition in level]
        found.append(" && ".join(conditions) or None)
    return found
