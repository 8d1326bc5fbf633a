"""The NIC models of a tree for `-device` and `-nic model=`: type, bus, properties.

From the index: `TypeInfo` and `Property` tables of the model's files and of its ancestors'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qtrace.path.catalogue import Nic, nics
from qtrace.store.index import Index

__all__ = ["Model", "Models", "Property"]

# Ancestor type -> the bus of its devices, by QEMU's name.
_BUSES = {
    "pci-device": "PCI",
    "virtio-pci": "PCI",
    "isa-device": "ISA",
    "usb-device": "usb-bus",
    "virtio-device": "virtio-bus",
    "sys-bus-device": "System",
    "vio-spapr-device": "spapr-vio-bus",
}
# Properties of every device, which hw/core/qdev.c sets for DeviceClass.
_OF_ANY = ("type", "hotpluggable", "hotplugged", "realized", "parent_bus")
_ADDED = re.compile(r'object_(?:class_)?property_add\w*\(\s*[^,]+,\s*"([\w-]+)"')
_BOOTINDEX = re.compile(r'device_add_bootindex_property\([^"]*"([\w-]+)"')
_NUMBER = re.compile(r"(-?(?:0[xX][0-9a-fA-F]+|[1-9]\d*|0))[uUlL]*\Z")
_CHOICE = re.compile(r"ON_OFF_AUTO_(\w+)\Z")
_MACRO = re.compile(r"[A-Z_][A-Z0-9_]*\Z")
_KEPT = re.compile(r"user_creatable = false")
_INFO = re.compile(r"^const PropertyInfo (qdev_prop_\w+) = \{(.*?)^\};", re.MULTILINE | re.DOTALL)
_TWINS = ("-pci-transitional", "-pci-non-transitional")
_CCW_FILE = "hw/s390x/virtio-ccw-net.c"
_CCW = re.compile(r'^#define TYPE_VIRTIO_NET_CCW "([\w-]+)"', re.MULTILINE)
_FIELD = re.compile(r'\.(name|type|description)\s*=\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a device: its type as in `-device X,help`, its description and its default."""

    name: str
    type: str = ""
    meaning: str = ""
    default: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A NIC's QOM type. `built` tells whether a QEMU for PCs includes it, by Kconfig; `pluggable` whether
    -device may make it; `parents` are its known ancestor types.
    """

    type: str
    nic: Nic
    bus: str
    abstract: bool
    built: bool
    parents: tuple[str, ...] = ()
    pluggable: bool = True
    file: str = ""  # the file that registers it
    generic: bool = True  # false for the transitional or non-transitional variant (hw/virtio/virtio-pci.c)


def _default(text: str, kind: str) -> str:
    """A default for a reader; empty if it means QEMU's choice, or is not a value."""
    if kind == "bool":
        return {"0": "off", "1": "on"}.get(text, text)
    if kind == "list":
        return ""
    if number := _NUMBER.match(text):
        return str(int(number[1], 0))
    if choice := _CHOICE.match(text):
        return choice[1].lower()
    return "" if _MACRO.match(text) else text


class Models:
    """Every NIC type of the indexed tree."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._root = Path(index.meta["root"])
        self._known: dict[str, dict[str, Property]] = {}

    @cached_property
    def by_type(self) -> dict[str, Model]:
        """Type -> model."""
        found = {}
        for nic in nics(self._index):
            built = self._built(self._index.built_with(nic.files[0])[0])
            for name in nic.types:
                bus, abstract, parent, file = self._bus(nic, name)
                parents = [parent, *(kind for kind, where in _BUSES.items() if where == bus), "device"]
                if bus == "PCI" and "virtio-net-device" in nic.types:
                    parents.append("virtio-net-device")  # inside the proxy, same properties
                elif "virtio-pci" in parents:
                    parents.remove("virtio-pci")
                known = tuple(dict.fromkeys(item for item in parents if item))
                pluggable = not _KEPT.search(self._read(file))
                twin = name.endswith(_TWINS)
                found[name] = Model(name, nic, bus, abstract, built, known, pluggable, file, not twin)
        return found | self._of_channels(found.get("virtio-net-device"))

    def _of_channels(self, inner: Model | None) -> dict[str, Model]:
        """s390x's virtio NIC, whose file is not indexed: its name is read from the file's text."""
        named = _CCW.search(self._read(_CCW_FILE))
        if inner is None or named is None:
            return {}
        parents = ("virtio-net-device", "virtio-ccw-device", "ccw-device", "device")
        model = Model(named[1], inner.nic, "virtual-css-bus", False, False, parents, True, _CCW_FILE)
        return {model.type: model}

    @cached_property
    def aliases(self) -> dict[str, list[str]]:
        """Alias -> the types for which it stands (`qdev_alias_table`)."""
        found: dict[str, list[str]] = {}
        for folder in ("softmmu", "system"):
            text = self._read(f"{folder}/qdev-monitor.c")
            table = text.partition("qdev_alias_table[] = {")[2].partition("\n};")[0]
            for name, alias in re.findall(r'\{\s*"([^"]+)",\s*"([^"]+)"', table):
                found.setdefault(alias, []).append(name)
        return found

    @cached_property
    def lists_late(self) -> bool:
        """Whether a model missing on a PC causes only a warning: later releases match models to NICs."""
        return not self._index.function("pci_nic_init_nofail")

    @cached_property
    def refuses_rings(self) -> bool:
        """Whether a transmit ring that is too large for the back end is refused: earlier releases reduce
        it.
        """
        text = self._read("hw/net/virtio-net.c")
        return "tx_queue_size > virtio_net_max_tx_queue_size(n)" in text

    def resolve(self, name: str, transport: str = "pci") -> str:
        """The type of a driver's name: the name itself, or the alias's type on a machine whose virtio devices
        use that transport.
        """
        known = self.aliases.get(name, [])
        if name in self.by_type or not known:
            return name
        return next((other for other in known if other.endswith(f"-{transport}")), known[0])

    def properties(self, model: Model) -> dict[str, Property]:
        """A model's properties by name, including its ancestors'."""
        if model.type not in self._known:
            self._known[model.type] = self._properties(model)
        return self._known[model.type]

    def _properties(self, model: Model) -> dict[str, Property]:
        tables = ["hw/core/qdev.c"]
        virtio = any("virtio" in name for name in model.nic.types)
        files = [file for file in model.nic.files if not virtio or self._is_of(model, file)]
        if model.bus == "PCI":
            tables.append("hw/pci/pci.c")
        if virtio:
            tables.append("hw/virtio/virtio.c")
        if virtio and model.bus == "PCI":
            tables.append("hw/virtio/virtio-pci.c")
        if model.bus == "usb-bus":
            tables.append("hw/usb/bus.c")
        if model.type.startswith("xen-"):
            tables.append("hw/xen/xen-bus.c")
        if model.file == _CCW_FILE:
            files += ["hw/s390x/ccw-device.c", _CCW_FILE]
        found = {name: Property(name) for name in _OF_ANY}
        for file in (*tables, *files):
            found |= self._table(file, model.generic)
        for file in (*tables[1:], *files):
            text = self._read(file)
            for name in (*_ADDED.findall(text), *_BOOTINDEX.findall(text)):
                place = text.find(f'"{name}"')
                line = text.count("\n", 0, place) + 1
                found.setdefault(name, Property(name, file=file, line=line))
        return found

    @staticmethod
    def _is_of(model: Model, file: str) -> bool:
        """Whether a file of a virtio NIC defines the model: the device itself, or its proxy on a bus."""
        if file == _CCW_FILE:
            return model.file == _CCW_FILE
        return model.bus == "PCI" or not file.endswith("-pci.c")

    def _table(self, file: str, generic: bool) -> dict[str, Property]:
        """The properties in a file's tables; `generic`: including tables that only a generic type gets."""
        rows: dict[tuple[str, str], dict[str, str]] = {}
        lines: dict[tuple[str, str], int] = {}
        for variable, row, struct, field, _, value, line in self._index.tables_in(file):
            if struct == "Property":
                rows.setdefault((variable, row), {})[field] = value
                lines.setdefault((variable, row), line)
        if not rows:
            return self._macros(file)
        found = {}
        for key, entry in rows.items():
            if "name" not in entry or (not generic and "generic" in key[0]):
                continue
            kind, meaning = self._kinds.get(entry.get("info", ""), (entry.get("info", ""), ""))
            default = _default(entry.get("defval", ""), kind) if entry.get("set_default") else ""
            found[entry["name"]] = Property(entry["name"], kind, meaning, default, file, lines[key])
        return found

    def _macros(self, file: str) -> dict[str, Property]:
        """The properties in a file that is not indexed."""
        found = {}
        text = self._read(file)
        for match in re.finditer(r'DEFINE_PROP_(\w+)\(\s*"([^"]+)"', text):
            line = text.count("\n", 0, match.start()) + 1
            kind = match[1].lower()
            found[match[2]] = Property(match[2], "str" if kind == "string" else kind, file=file, line=line)
        return found

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, str]]:
        """qdev_prop_X -> (the type's name, description)."""
        found = {}
        for file in ("hw/core/qdev-properties.c", "hw/core/qdev-properties-system.c"):
            for name, body in _INFO.findall(self._read(file)):
                fields = {
                    key: "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
                    for key, text in _FIELD.findall(body)
                }
                kind = fields.get("name") or fields.get("type") or ""
                found[name] = (kind, fields.get("description", ""))
        return found

    def _bus(self, nic: Nic, name: str) -> tuple[str, bool, str, str]:
        """(bus, whether the type is abstract, its parent, the file that registers it)."""
        fallback, base = "", ""
        for file in nic.files:
            tables: dict[tuple[str, str, str], dict[str, str]] = {}
            for variable, row, struct, field, _, value, _ in self._index.tables_in(file):
                if struct.endswith("TypeInfo"):
                    tables.setdefault((variable, row, struct), {})[field] = value
            for (_, _, struct), entry in tables.items():
                virtio = struct == "VirtioPCIDeviceTypeInfo"
                bus = "PCI" if virtio else _BUSES.get(entry.get("parent", ""), "")
                if name in (entry.get("name"), *(v for k, v in entry.items() if k.endswith("_name"))):
                    parent = entry.get("base_name", "") if virtio else entry.get("parent", "")
                    return bus, "abstract" in entry or entry.get("base_name") == name, parent, file
                fallback = fallback or bus
                base = base or (entry.get("name", "") if "abstract" in entry else "")
            if not fallback and "PCI_DEVICE(" in self._read(file):  # a TypeInfo that a loop fills in
                fallback = "PCI"
        return fallback, False, base, ""

    @cached_property
    def _defaults(self) -> set[str]:
        """The configuration symbols that are on by default."""
        found = set()
        for file in ("hw/net/Kconfig", "hw/usb/Kconfig", "hw/xen/Kconfig"):
            for block in re.split(r"^(?=config )", self._read(file), flags=re.MULTILINE):
                match = re.match(r"config (\w+)\n(.*)", block, re.DOTALL)
                if match and re.search(r"^\s+default y", match[2], re.MULTILINE):
                    found.add(f"CONFIG_{match[1]}")
        return found

    def _built(self, kconfig: str) -> bool:
        symbols = re.findall(r"CONFIG_\w+", kconfig)
        return not symbols or any(name in self._defaults for name in symbols)

    def _read(self, file: str) -> str:
        path = self._root / file
        return path.read_text(errors="replace") if path.is_file() else ""
