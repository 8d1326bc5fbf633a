"""`qtrace completion SHELL`: the script with which the shell completes verbs, options and values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from qtrace.cli._help import Verb

__all__ = ["command"]


@click.command(
    "completion",
    cls=Verb,
    examples=(
        ('eval "$(qtrace completion bash)"', "in ~/.bashrc; zsh in ~/.zshrc likewise"),
        ("qtrace completion fish | source", "in ~/.config/fish/config.fish"),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete qtrace's verbs, options and values.

    The script asks qtrace itself, so it stays correct when qtrace changes.
    """
    made = get_completion_class(shell)
    assert made
    root = context.find_root().command
    click.echo(made(root, {}, "qtrace", "_QTRACE_COMPLETE").source())
