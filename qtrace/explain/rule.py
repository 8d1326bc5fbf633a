"""A rule about a network that QEMU would accept. Each is a file of `rules/`, found by its place in the
folder.

Such a file has a docstring whose first paragraph describes the findings, `SEVERITY`, `WORD` and `look`; and
`NAME` if its findings are of another kind than the file's name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import qtrace.explain.rules as folder
from qtrace.explain.clients import Client, Network
from qtrace.explain.host import Host
from qtrace.explain.machine_type import Machine
from qtrace.explain.manual import Manual
from qtrace.explain.opts import Opts, parse_json, parse_opts
from qtrace.explain.schema import Schema
from qtrace.explain.values import number, truth
from qtrace.explain.words import Line, Option

__all__ = ["Change", "Finding", "Mend", "Page", "Rule", "Seen", "Severity", "Tree", "Word", "rules"]

Severity = Literal["wrong", "dear", "note"]


@dataclass(frozen=True, slots=True)
class Tree:
    """The source of a finding: these words in a file of the indexed tree."""

    file: str
    words: str

    def place(self, root: Path) -> str:
        """FILE:LINE, FILE alone if this release does not have the words."""
        return _place(root, self.file, self.words)


@dataclass(frozen=True, slots=True)
class Page:
    """The source of a finding: a measurement, on a page of this repository."""

    path: str

    def place(self, root: Path) -> str:
        """The page's path."""
        return self.path


Word = Tree | Page


@dataclass(frozen=True, slots=True)
class Change:
    """Another value for an option; None removes the option."""

    option: Option
    value: str | None


@dataclass(frozen=True, slots=True)
class Mend:
    """The changes to a line, and words to append to it."""

    changes: tuple[Change, ...] = ()
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of a rule. `about` names a client or an option; `severity` and `word` replace the rule's, if
    they differ.
    """

    about: str
    text: str
    mend: Mend | None = None
    severity: Severity | None = None
    word: Word | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The input of a rule. `opened`: descriptor -> the path that it was opened on, if known."""

    line: Line
    network: Network
    machine: Machine
    schema: Schema
    manual: Manual
    root: Path
    host: Host
    opened: Mapping[int, str]

    def pairs(self) -> Iterator[tuple[Client, Client]]:
        """Each NIC with the back end to which it is connected without a hub."""
        for nic in self.network.nics:
            if nic.peer is not None and nic.peer.kind == "netdev":
                yield nic, nic.peer

    def virtio_pairs(self) -> Iterator[tuple[Client, Client]]:
        """`pairs` of virtio NICs."""
        return ((nic, other) for nic, other in self.pairs() if nic.type.startswith("virtio-net"))

    def options(self, *names: str) -> list[Option]:
        """The line's options of these names."""
        return [option for option in self.line.options if option.name in names]

    def objects(self) -> list[Opts]:
        """The line's -object options, parsed."""
        return [_object(option) for option in self.options("object")]

    def chardevs(self) -> list[Opts]:
        """The line's -chardev options, parsed."""
        return [parse_opts(option, "backend") for option in self.options("chardev")]

    @staticmethod
    def on(client: Client, name: str) -> bool | None:
        """Whether an option of a client is on; None if the line does not set it."""
        value = client.values.get(name)
        return value if isinstance(value, bool) else truth(str(value)) if value is not None else None

    @staticmethod
    def number(client: Client, name: str) -> int | None:
        """An option's number; None if the line does not set it."""
        value = client.values.get(name)
        return value if isinstance(value, int) else number(str(value)) if value is not None else None

    @staticmethod
    def opens_a_tap(client: Client) -> bool:
        """Whether QEMU itself opens the tap: no descriptor was passed, and no helper opens it."""
        return client.type == "tap" and not any(name in client.values for name in ("fd", "fds", "helper"))

    def source(self, file: str) -> str:
        """The text of a file of the tree, empty if there is no such file."""
        return _read(self.root / file)


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` is the kind of its findings: the file's name with dashes, unless it gives another."""

    name: str
    looks_for: str
    severity: Severity
    word: Word
    look: Callable[[Seen], Iterator[Finding]]


def rules() -> list[Rule]:
    """Every rule, by name."""
    found = []
    for item in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{item.name}")
        words = " ".join((module.__doc__ or "").split("\n\n")[0].split())
        found.append(
            Rule(
                name=getattr(module, "NAME", item.name.replace("_", "-")),
                looks_for=words,
                severity=module.SEVERITY,
                word=module.WORD,
                look=module.look,
            )
        )
    return sorted(found, key=lambda rule: rule.name)


def _object(option: Option) -> Opts:
    if not (option.value or "").startswith("{"):
        return parse_opts(option, "qom-type")
    data = parse_json(option)
    name = data.get("id")
    return Opts(option, name if isinstance(name, str) else None, data=data, is_json=True)


@lru_cache(maxsize=256)
def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


@lru_cache(maxsize=512)
def _place(root: Path, file: str, words: str) -> str:
    """Files move between releases (softmmu/ became system/): one of the same name is looked into as well."""
    name = Path(file).name
    for path in (root / file, *sorted(root.glob(f"*/{name}")), *sorted(root.glob(f"*/*/{name}"))):
        text = _read(path)
        if (place := text.find(words)) >= 0:
            return f"{path.relative_to(root)}:{text.count(chr(10), 0, place) + 1}"
    return file
