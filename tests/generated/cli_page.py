"""docs/cli.md: the help of every verb and sub-verb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from qtrace.cli._help import Verb, VerbGroup
from qtrace.cli.main import command as root

PAGE = "docs/cli.md"
_WIDTH = 90  # of a line of help
_HEAD = """# The command line

Generated from `qtrace --help` by `make docs`; nothing here is typed in by hand. Verbs that answer a question
take `--format json`, and then stdout is that answer alone. The exit status is 0 where all is done, 1 where
something was refused or failed (with one message on stderr), 2 for wrong usage, 130 after Ctrl-C.
"""


def contexts(
    command: click.Command = root, name: str = "qtrace", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """The context of the command and, in the order of the lists, of every verb and sub-verb."""
    settings: dict[str, Any] = {} if parent else dict(root.context_settings)
    settings |= {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, parent, name, **settings)
    yield context
    if isinstance(command, VerbGroup):
        for names in command.by_section(context).values():
            for verb in names:
                found = command.get_command(context, verb)
                assert found
                if not found.hidden:
                    yield from contexts(found, verb, context)


def examples() -> Iterator[tuple[str, str]]:
    """(command, meaning) of every verb's examples."""
    for context in contexts():
        if isinstance(context.command, Verb):
            yield from context.command.examples


def text() -> str:
    parts = [_HEAD]
    for context in contexts():
        help_text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
        level = "#" * (1 + len(context.command_path.split()))
        parts.append(f"{level} {context.command_path}\n\n```\n{help_text}\n```\n")
    return "\n".join(parts)
