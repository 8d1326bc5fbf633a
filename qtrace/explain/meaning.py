"""Each option of a client in words: its meaning, its default, its value.

From the schema first, then from qemu-options.hx, then (for NICs) from the properties in the index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from qtrace.explain.clients import Client, Filter
from qtrace.explain.manual import Manual
from qtrace.explain.models import Models
from qtrace.explain.schema import Schema

__all__ = ["Meaning", "filter_rows", "option_rows"]

# Options that -nic has beside its back end's (net_param_nic).
_OF_NIC = {"mac": "macaddr", "model": "model"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row. `given` tells whether the line sets the option; `value` is in effect, empty if QEMU
    decides."""

    name: str
    value: str
    given: bool
    default: str
    type: str
    meaning: str
    file: str
    line: int


def option_rows(client: Client, schema: Schema, manual: Manual, models: Models) -> list[dict[str, Any]]:
    """The options of a NIC or back end; those in the line come first."""
    nic = client.kind == "nic"
    rows = _nic(client, schema, models) if nic else _netdev(client, schema, manual)
    return [asdict(row) for row in sorted(rows, key=lambda row: not row.given)]


def filter_rows(item: Filter, schema: Schema) -> list[dict[str, Any]]:
    """The options of a filter; those in the line come first."""
    branch, _ = schema.entities["ObjectOptions"].branches[item.type]
    rows = [
        _row(item.values, member.name, member.default, member.type, member.meaning, member.file, member.line)
        for member in schema.members(branch)
    ]
    return [asdict(row) for row in sorted(rows, key=lambda row: not row.given)]


def _netdev(client: Client, schema: Schema, manual: Manual) -> list[Meaning]:
    rows = []
    for item in schema.options_of(client.type):
        text, file, line = item.meaning, item.file, item.line
        if not text:
            text, line = manual.meaning(client.type, item.name)
            file = "qemu-options.hx" if text else ""
        default = item.default or manual.default(client.type, item.name)
        kind = f"list of {item.type}" if item.many else item.type
        rows.append(_row(client.values, item.name, default, kind, text, file, line))
    known = {row.name for row in rows}
    rows += [
        Meaning(name, _text(value), True, "", "", "", "", 0)
        for name, value in client.values.items()
        if name not in known
    ]
    return rows


def _nic(client: Client, schema: Schema, models: Models) -> list[Meaning]:
    values = dict(client.values)
    model = models.by_type.get(client.type)
    if client.form == "-device" and model is not None:
        rows = [
            _row(values, item.name, item.default, item.type, item.meaning, item.file, item.line)
            for item in models.properties(model).values()
            if item.file
        ]
        rows = [
            replace(row, value=client.mac) if row.name == "mac" and not row.given else row for row in rows
        ]
        known = {"driver", "id", *(row.name for row in rows)}
        if "bus" in values:
            rows.append(Meaning("bus", _text(values["bus"]), True, "", "str", "the bus it sits on", "", 0))
        return rows + [
            Meaning(name, _text(value), True, "", "", "", "", 0)
            for name, value in values.items()
            if name not in known and name != "bus"
        ]
    members = {item.name: item for item in schema.options_of("nic")}
    names = {name: name for name in members} if client.form in ("-net", "") else _OF_NIC
    default = {"model": client.type, "macaddr": client.mac}
    return [
        _row(values, name, default.get(other, ""), item.type, item.meaning, item.file, item.line)
        for name, other in names.items()
        if (item := members.get(other))
    ]


def _row(
    values: Mapping[str, Any], name: str, default: str, kind: str, meaning: str, file: str, line: int
) -> Meaning:
    given = name in values
    value = _text(values[name]) if given else default
    return Meaning(name, value, given, default, kind, meaning, file, line)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={_text(item)}" for key, item in value.items())
    return str(value)
