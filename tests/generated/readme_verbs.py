"""README's list of verbs: the examples of every verb's help."""

from __future__ import annotations

from cli_page import examples
from write import between

PAGE = "README.md"
_WIDTH = 52  # of a command; a longer one has its meaning on the next line


def text() -> str:
    lines = []
    for command, meaning in examples():
        if len(command) > _WIDTH:
            lines += [command, f"{'':{_WIDTH}} # {meaning}"]
        else:
            lines.append(f"{command:<{_WIDTH}} # {meaning}")
    return between(PAGE, "<!-- verbs -->", "\n".join(["```", *lines, "```"]))
