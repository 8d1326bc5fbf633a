"""The back ends and NICs of a tree: `qtrace map`. Reads the index only."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qtrace.errors import NoPath
from qtrace.index.platforms import other_platform
from qtrace.store.index import ClientTable, Index

__all__ = ["Nic", "backend_name", "core_files", "find_nic", "map_tree", "nic_files", "nic_runs", "nics"]

_NIC_DRIVER = "NET_CLIENT_DRIVER_NIC"
_PREFIX = "NET_CLIENT_DRIVER_"


@dataclass(frozen=True, slots=True)
class Nic:
    """A NIC model: the file of its `NetClientInfo`, and its types for `-device`."""

    name: str
    types: tuple[str, ...]
    files: tuple[str, ...]
    tables: tuple[ClientTable, ...]


def backend_name(driver: str) -> str:
    """`NET_CLIENT_DRIVER_VHOST_USER` -> `vhost-user`, QAPI's spelling."""
    return driver.removeprefix(_PREFIX).lower().replace("_", "-")


def nic_files(index: Index) -> list[str]:
    """The files that hold a NIC's `NetClientInfo`."""
    return sorted({table.file for table in index.client_tables() if table.driver == _NIC_DRIVER})


def nics(index: Index) -> list[Nic]:
    """Every NIC of the tree, by name."""
    return list(_nics(index))


@lru_cache(maxsize=4)  # each walk calls it
def _nics(index: Index) -> tuple[Nic, ...]:
    tables: dict[str, list[ClientTable]] = defaultdict(list)
    for table in index.client_tables():
        if table.driver == _NIC_DRIVER:
            tables[table.file].append(table)
    found = []
    for file, entries in tables.items():
        types, files = _types(index, file)
        found.append(Nic(Path(file).stem, tuple(types), tuple(files), tuple(entries)))
    return tuple(sorted(found, key=lambda nic: nic.name))


def nic_runs(index: Index, nic: Nic) -> frozenset[int]:
    """All functions that the NIC can run, including functions of QEMU's core that it calls."""
    return index.runnable(index.functions_in(nic.files))


def core_files(index: Index, nic: Nic, runs: frozenset[int]) -> tuple[str, ...]:
    """The NIC's files and files that only it and its relatives use: hw/net/pcnet.c behind pcnet-pci.c.

    They are in the NIC's folder or in the folder of most NICs, have functions that it can run, and are not
    the own file of another NIC.
    """
    clients = nic_files(index)
    common, _ = Counter(str(Path(file).parent) for file in clients).most_common(1)[0]
    folders = {common, *(str(Path(file).parent) for file in nic.files)}
    found = {file for file in index.files_with(runs) if str(Path(file).parent) in folders}
    return tuple(sorted(found - set(clients) | set(nic.files)))


def find_nic(index: Index, name: str) -> Nic:
    """The NIC with that name or type. Raises NoPath with the names of all NICs."""
    known = nics(index)
    for nic in known:
        if name == nic.name or name in nic.types:
            return nic
    names = ", ".join(sorted({kind for nic in known for kind in (nic.name, *nic.types)}))
    raise NoPath(f"QEMU {index.meta['qemu']} has no NIC {name!r}", hint=f"known: {names}")


def _types(index: Index, file: str) -> tuple[list[str], list[str]]:
    """QOM types that a NIC's file registers, and types of devices that embed its state."""
    own: dict[str, None] = {}
    files: dict[str, None] = {file: None}
    states: dict[str, None] = {}
    rows = index.tables_in(file)
    tables: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for variable, row, struct, field, _, value, _ in rows:
        if struct == "TypeInfo":
            tables[variable, row][field] = value
    named_elsewhere = False
    for owner, what, value, _, _ in index.registrations_in([file]):
        # A TypeInfo filled in a loop: `.name = info->name`, from a table of another struct.
        if owner == "TypeInfo.name" and what == "field":
            named_elsewhere = True
            struct, _, label = value.rpartition(".")
            for _, _, owner_struct, field, kind, text, _ in rows:
                if (owner_struct, field, kind) == (struct, label, "string"):
                    own.setdefault(text)
    for entry in tables.values():
        if entry.get("abstract") and named_elsewhere:
            continue
        if "name" in entry:
            own.setdefault(entry["name"])
        if "instance_size" in entry:
            states.setdefault(entry["instance_size"])
    for state in states:
        for outer in index.structs_with(state):
            for variable, struct, _, where, _ in index.tables_naming("sizeof", outer):
                for name, _, kind, field, what, text, _ in index.tables_in(where):
                    if (name, kind, what) == (variable, struct, "string") and field.endswith("name"):
                        own.setdefault(text)
                        files.setdefault(where)
    if not own:  # a port of a device whose type is in another file of the folder: hw/net/rocker
        for where in sorted(index.files_calling(file)):
            names = [
                text
                for _, _, kind, field, what, text, _ in index.tables_in(where)
                if (kind, field, what) == ("TypeInfo", "name", "string")
            ]
            if names and Path(where).parent == Path(file).parent != Path("hw/net"):
                own |= dict.fromkeys(names)
                files.setdefault(where)
    return list(own), list(files)


def map_tree(index: Index) -> dict[str, Any]:
    """The catalogue as JSON-ready data."""
    tables: dict[str, list[ClientTable]] = defaultdict(list)
    for table in index.client_tables():
        tables[table.driver].append(table)
    functions = index.functions()
    backends = []
    for driver, guard, init, number, file, line in index.backends():
        if driver == _NIC_DRIVER:
            continue
        known = functions.get(number) if number is not None else None
        where = (known.file, known.line) if known else (file, line)
        ours = [table for table in tables[driver] if not other_platform(table.file)]
        backends.append(
            {
                "name": backend_name(driver),
                "driver": driver,
                "guard": guard,
                "init": {"function": init, "file": where[0], "line": where[1]},
                "indexed": known is not None,
                "built": all(index.built_with(table.file)[1] for table in ours),
                "tables": [_table_json(table) for table in ours],
                "other_platforms": [_table_json(t) for t in tables[driver] if other_platform(t.file)],
            }
        )
    return {
        "qemu": index.meta["qemu"],
        "backends": backends,
        "nics": [
            {
                "name": nic.name,
                "types": list(nic.types),
                "files": list(nic.files),
                "kconfig": index.built_with(nic.files[0])[0],
                "built": all(index.built_with(file)[1] for file in nic.files),
                "tables": [_table_json(table) for table in nic.tables],
            }
            for nic in nics(index)
        ],
    }


def _table_json(table: ClientTable) -> dict[str, Any]:
    callbacks = {
        field: {"function": function.name, "file": function.file, "line": function.line}
        for field, (function, _) in table.callbacks.items()
    }
    return {
        "variable": table.variable,
        "file": table.file,
        "line": table.line,
        "size_of": table.size_of,
        "callbacks": callbacks,
    }
