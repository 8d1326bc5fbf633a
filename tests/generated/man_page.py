"""docs/qtrace.1: the manual page, of the same help as docs/cli.md."""

from __future__ import annotations

import inspect

import click
from cli_page import contexts, examples

from qtrace.cli._help import first_sentence

PAGE = "docs/qtrace.1"
_ENVIRONMENT = {
    "QTRACE_CACHE": "The folder of downloads, indexes and other derived files, in place of the user's cache.",
    "XDG_CACHE_HOME": "The user's cache, in which qtrace has a folder.",
    "DEBUGINFOD_URLS": "Servers that are asked for a binary's debug file; without it nothing is asked.",
}
_STATUS = {
    "0": "Done.",
    "1": "Refused or failed, with one message.",
    "2": "Wrong usage.",
    "130": "Ended by Ctrl-C.",
}


def _roff(words: str) -> str:
    """A line of text that roff takes as it is."""
    words = " ".join(words.split()).replace("\\", "\\e").replace("-", "\\-")
    words = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in words)
    return f"\\&{words}" if words.startswith((".", "'")) else words


def _entry(term: str, meaning: str) -> list[str]:
    return [".TP", f".B {_roff(term)}", _roff(meaning)]


def _usage(context: click.Context) -> str:
    return " ".join((context.command_path, *context.command.collect_usage_pieces(context)))


def _verb(context: click.Context) -> list[str]:
    lines = [f".SS {_roff(_usage(context))}"]
    for number, paragraph in enumerate(inspect.cleandoc(context.command.help or "").split("\n\n")):
        lines += [".PP", _roff(paragraph)] if number else [_roff(paragraph)]
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in record[0]:
            lines += _entry(*record)
    return lines


def text() -> str:
    top, *verbs = contexts()
    head = ['.TH QTRACE 1 "" "qtrace" "User commands"', ".SH NAME", "qtrace \\- " + _roff(_tail(top))]
    head += [".SH SYNOPSIS", ".B qtrace", "VERB [OPTIONS] [ARGUMENTS]", ".SH DESCRIPTION"]
    head += [_roff(first_sentence(top.command)), "Every verb explains itself with", ".BR \\-\\-help ."]
    head += [".SH VERBS"]
    body = [line for context in verbs for line in _verb(context)]
    tail = [".SH EXAMPLES", *(line for example in examples() for line in _entry(*example))]
    tail += [".SH EXIT STATUS", *(line for item in _STATUS.items() for line in _entry(*item))]
    tail += [".SH ENVIRONMENT", *(line for item in _ENVIRONMENT.items() for line in _entry(*item))]
    return "\n".join([*head, *body, *tail]) + "\n"


def _tail(top: click.Context) -> str:
    """The name's line: a sentence without its full stop and capital."""
    words = first_sentence(top.command).rstrip(".")
    return words[0].lower() + words[1:]
