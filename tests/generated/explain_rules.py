"""The rules of explain in docs/explain.md, as `qtrace explain --rules` lists them, with files alone."""

from __future__ import annotations

from write import between

from qtrace.explain.rule import Page, rules

PAGE = "docs/explain.md"


def text() -> str:
    rows = [
        f"| `{rule.name}` | {rule.severity} | {rule.looks_for} | "
        f"{rule.word.path if isinstance(rule.word, Page) else rule.word.file} |"
        for rule in rules()
    ]
    head = ["| finding | severity | looks for | source |", "| --- | --- | --- | --- |"]
    return between(PAGE, "<!-- rules -->", "\n".join([*head, *rows]))
