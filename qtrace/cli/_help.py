"""The help of the verbs: lists with whole sentences, and examples below the options."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem

from qtrace.errors import QtraceError

__all__ = ["Verb", "VerbGroup", "completing", "first_sentence"]

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Verb(click.Command):
    """A verb with examples: pairs (command, meaning). `--help`, docs/cli.md and README show them."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The same names as the group's: click keeps a command's help option from its first call.
        self.context_settings = {"help_option_names": ["-h", "--help"], **self.context_settings}
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        if self.examples:
            with formatter.section("Examples"):
                for line, meaning in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
                    with formatter.indentation(), formatter.indentation():
                        formatter.write_text(meaning)
        super().format_epilog(ctx, formatter)


class VerbGroup(click.Group):
    """A group that lists its verbs in sections, each verb with its whole first sentence.

    click's own list cuts a sentence at the end of the line.
    """

    command_class = Verb
    sections: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Heading -> names, in the order of the list. A name in no section goes to the last, `More`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the file."""
        return list(self.commands)

    def by_section(self, ctx: click.Context) -> dict[str, list[str]]:
        """Heading -> names of the existing verbs."""
        names = self.list_commands(ctx)
        found = {title: [name for name in wanted if name in names] for title, wanted in self.sections.items()}
        rest = [name for name in names if not any(name in placed for placed in found.values())]
        found["More" if found else "Commands"] = rest
        return {title: placed for title, placed in found.items() if placed}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs."""
        width = max(map(len, self.list_commands(ctx)))
        for title, names in self.by_section(ctx).items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [
                (f"{name:<{width}}", first_sentence(command))
                for name, command in commands
                if command and not command.hidden
            ]
            with formatter.section(title):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a verb's name. Only verbs that begin with the text are loaded."""
        found = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name) if name.startswith(incomplete) else None
            if command and not command.hidden:
                found.append(CompletionItem(name, help=first_sentence(command)))
        return found + click.Command.shell_complete(self, ctx, incomplete)


def completing(names: Callable[[], Iterable[str]], files: bool = False) -> Completer:
    """A `shell_complete` that offers `names()`, or files if no name fits and `files` is true.

    If the names are unavailable (nothing is indexed yet), it offers nothing and reports nothing.
    """

    def complete(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        found = []
        with contextlib.suppress(QtraceError):
            found = [CompletionItem(name) for name in names() if name.startswith(begun)]
        return [CompletionItem(begun, type="file")] if files and not found else found

    return complete


def first_sentence(command: click.Command) -> str:
    """The first paragraph of a verb's help, as one line."""
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())
