"""Sorts a line's options into QEMU's option groups (`qemu_init` in softmmu/vl.c, system/vl.c).

`-set` changes an option before it; the file of a `-readconfig` is read only if the user asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from qtrace.errors import RefusedLine
from qtrace.explain.opts import Opts, parse_json, parse_keyval, parse_opts, wellformed
from qtrace.explain.words import LARGEST, Line, Option

__all__ = ["IMPLIED", "Global", "Setup", "collect"]

# Option -> the parameter that its first word sets if that is not NAME=VALUE.
IMPLIED = {"netdev": "type", "nic": "type", "net": "type", "device": "driver", "chardev": "backend"}
_SET = re.compile(r"([^.]{1,63})\.([^.]{1,63})\.([^=]{1,63})=(.*)\Z", re.DOTALL)
_SECTION = re.compile(r'\[\s*([\w-]+)(?:\s+"([^"]*)")?\s*\]')
_SETTING = re.compile(r'([\w.-]+)\s*=\s*"([^"]*)"')
_GLOBAL = re.compile(r"([^.=]{1,63})\.([^=]{1,63})=(.*)\Z", re.DOTALL)
_UNSETTABLE = ("object", "machine", "smp-opts", "boot-opts")


@dataclass(frozen=True, slots=True)
class Global:
    """One -global: a property of every device of a type."""

    driver: str
    property: str
    value: str
    option: Option


@dataclass(slots=True)
class Setup:
    """The network options of the line, by group, in QEMU's order."""

    groups: dict[str, list[Opts]] = field(default_factory=lambda: {name: [] for name in IMPLIED})
    modern: list[Opts] = field(default_factory=list)  # -netdev in keyval or JSON
    typed: list[Opts] = field(default_factory=list)  # -device in JSON
    globals: list[Global] = field(default_factory=list)
    objects: list[Opts] = field(default_factory=list)
    default: bool = True  # whether QEMU makes its default NIC
    remarks: list[str] = field(default_factory=list)

    def chardevs(self) -> dict[str, dict[str, str]]:
        """Character devices by id."""
        return {opts.id: dict(opts.pairs) for opts in self.groups["chardev"] if opts.id}


def collect(line: Line, config: Collection[str] = ()) -> Setup:
    """The groups of a line. `config`: files that -readconfig may read. Raises RefusedLine."""
    setup = Setup()
    for option in line.options:
        name = option.name
        if name in ("netdev", "nic", "net"):
            setup.default = False
        if name == "nodefaults":
            setup.default = False
        elif name == "netdev" and _is_modern(option):
            data = parse_json(option) if _is_json(option) else parse_keyval(option, "type")
            _add_modern(setup, option, data)
        elif name == "device" and _is_json(option):
            data = parse_json(option)
            named = data.get("id")
            setup.typed.append(
                Opts(option, named if isinstance(named, str) else None, data=data, is_json=True)
            )
        elif name in IMPLIED:
            _add(setup, name, parse_opts(option, IMPLIED[name]))
        elif name == "global":
            setup.globals.append(_global(option))
        elif name == "object":
            _object(setup, option)
        elif name == "set":
            _set(setup, option)
        elif name == "readconfig":
            _read_config(setup, option, config)
    return setup


def _global(option: Option) -> Global:
    """`qemu_global_option`: DRIVER.PROPERTY=VALUE, or all three by name."""
    if match := _GLOBAL.match(option.value or ""):
        return Global(match[1], match[2], match[3], option)
    pairs = dict(parse_opts(option, "").pairs)
    missing = [name for name in ("driver", "property", "value") if name not in pairs]
    if missing:
        raise RefusedLine(
            f"{option}: {missing[0]} is missing",
            hint="it is written DRIVER.PROPERTY=VALUE, or driver=…,property=…,value=…",
        )
    return Global(pairs["driver"], pairs["property"], pairs["value"], option)


def _object(setup: Setup, option: Option) -> None:
    if _is_json(option):
        data = parse_json(option)
        name = data.get("id")
        opts = Opts(option, name if isinstance(name, str) else None, data=data, is_json=True)
    else:
        opts = parse_opts(option, "qom-type")
    if opts.get("qom-type") is None:
        raise RefusedLine(f"{option}: the kind of object (qom-type) is missing")
    if opts.id is not None and any(other.id == opts.id for other in setup.objects):
        raise RefusedLine(f"{option}: there are two -object with the id {opts.id!r}")
    setup.objects.append(opts)


def _is_json(option: Option) -> bool:
    return (option.value or "").startswith("{")


def _is_modern(option: Option) -> bool:
    """`netdev_is_modern` (net/net.c): JSON, and back ends newer than QemuOpts."""
    if _is_json(option):
        return True
    try:
        kind = parse_opts(option, "type").get("type")
    except RefusedLine:
        return False  # the code that uses the value reports the error
    return kind in ("stream", "dgram")


def _add_modern(setup: Setup, option: Option, data: dict[str, object]) -> None:
    name = data.get("id")
    setup.modern.append(
        Opts(option, name if isinstance(name, str) else None, data=data, is_json=_is_json(option))
    )


def _add(setup: Setup, group: str, opts: Opts) -> None:
    if opts.id is not None and any(other.id == opts.id for other in setup.groups[group]):
        raise RefusedLine(f"{opts.option}: there are two -{group} with the id {opts.id!r}")
    setup.groups[group].append(opts)


def _set(setup: Setup, option: Option) -> None:
    match = _SET.match(option.value or "")
    if not match:
        raise RefusedLine(f"{option}: it is written GROUP.ID.NAME=VALUE")
    group, name, key, value = match.groups()
    if group in _UNSETTABLE:
        raise RefusedLine(f"{option}: -set does not work with {group}")
    if group not in setup.groups:
        return
    found = next((opts for opts in setup.groups[group] if opts.id == name), None)
    if found is None:
        raise RefusedLine(f"{option}: there is no -{group} with the id {name!r} before it")
    found.put(key, value)


def _read_config(setup: Setup, option: Option, config: Collection[str]) -> None:
    """Read the file of a -readconfig (util/qemu-config.c), if the user asked for it."""
    name = option.value or ""
    if name not in config:
        setup.remarks.append(f"{option}: this file was not read; --config {name} reads it too")
        return
    try:
        with Path(name).open(errors="replace") as file:
            text = file.read(LARGEST)
    except OSError as exc:
        raise RefusedLine(f"{option}: cannot read it: {exc.strerror}") from exc
    opts: Opts | None = None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        if section := _SECTION.match(line):
            opts = _section(
                setup, f"{name}:{number}", section, Option(section[1], f"(in {name})", option.number)
            )
        elif (setting := _SETTING.match(line)) and opts is not None:
            opts.put(setting[1], setting[2])
        else:
            raise RefusedLine(f'{name}:{number}: this is neither a [section] nor NAME = "VALUE"')


def _section(setup: Setup, where: str, section: re.Match[str], option: Option) -> Opts:
    """A new group from a file, added to the line's groups."""
    group, named = section[1], section[2]
    if named is not None and group in setup.groups and not wellformed(named):
        raise RefusedLine(f"{where}: the id {named!r} is no identifier")
    opts = Opts(option, named)
    if group in setup.groups:
        _add(setup, group, opts)
    elif group == "object":
        setup.objects.append(opts)
    return opts
