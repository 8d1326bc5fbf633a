"""The filters that -object adds to back ends (net/filter*.c, net/dump.c, net/colo-compare.c).

QEMU makes them after all back ends and before any NIC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.clients import Client, Filter, Network
from qtrace.explain.collect import Setup
from qtrace.explain.opts import Opts
from qtrace.explain.schema import Schema
from qtrace.explain.values import number, truth, visit_data

__all__ = ["check_objects", "make_filters"]

_FILTER = re.compile(r"filter-|colo-compare\Z")


def check_objects(setup: Setup, schema: Schema) -> list[str]:
    """Check -object against the schema, in the line's order; returns the unknown kinds. Raises
    RefusedLine."""
    kinds = schema.entities["ObjectOptions"].branches
    unknown = []
    for opts in setup.objects:
        data = _data(opts)
        if "qom-type" not in data:
            raise RefusedLine(f"{opts.option}: the kind of object (qom-type) is missing")
        kind = str(data["qom-type"])
        known = {item.name for item in schema.entities["ObjectType"].members}
        if kind not in known:
            unknown.append(f"{opts.option}: the object {kind!r}")
        elif _FILTER.match(kind):
            wrong = visit_data(str(opts.option), data, "ObjectOptions", schema, typed=opts.is_json)
            if wrong:
                names = ", ".join(item.name for item in schema.members(kinds[kind][0]))
                raise RefusedLine(f"{opts.option}: {kind} has no option {wrong[0]!r}", hint=f"it has {names}")
    return unknown


def make_filters(setup: Setup, network: Network) -> list[Filter]:
    """Every filter, on its back end. Raises RefusedLine if its set-up would fail."""
    found: list[Filter] = []
    taken: set[str] = set()
    for opts in setup.objects:
        data = _data(opts)
        kind = str(data["qom-type"])
        if not _FILTER.match(kind):
            continue
        values = {key: value for key, value in data.items() if key not in ("qom-type", "id")}
        netdev = None
        if kind == "colo-compare":
            _compare(opts, values, setup, taken)
        else:
            netdev = _netdev(opts, values, network)
            _position(opts, values, netdev, found)
            _setup(opts, kind, values, setup, taken)
        found.append(Filter(data["id"], kind, netdev, values, opts.option))
    return found


def _data(opts: Opts) -> dict[str, Any]:
    if opts.data is not None:
        return opts.data
    return {**dict(opts.pairs), **({"id": opts.id} if opts.id is not None else {})}


def _netdev(opts: Opts, values: Mapping[str, Any], network: Network) -> Client:
    name = values["netdev"]
    netdev = network.find(name)
    if netdev is None:
        raise RefusedLine(f"{opts.option}: there is no netdev {name!r}", hint=f"add -netdev …,id={name}")
    if netdev.queues > 1:
        raise RefusedLine(
            f"{opts.option}: {name!r} has {netdev.queues} queues, and a filter takes one with one queue only"
        )
    vhost = netdev.values.get("vhost")
    forced = netdev.values.get("vhostforce")
    on = truth(str(vhost)) or vhost is True
    if vhost is None:
        on = truth(str(forced)) or forced is True or "vhostfd" in netdev.values
    if netdev.type == "tap" and on:
        raise RefusedLine(
            f"{opts.option}: the kernel carries the frames of {name!r} (vhost), so no filter can see them",
            hint="omit vhost=on",
        )
    return netdev


def _position(opts: Opts, values: Mapping[str, Any], netdev: Client, before: list[Filter]) -> None:
    place = str(values.get("position", "tail"))
    if place in ("head", "tail"):
        return
    if not place.startswith("id="):
        raise RefusedLine(f"{opts.option}: position is head, tail or id=FILTER, not {place!r}")
    other = next((item for item in before if item.name == place[3:]), None)
    if other is None:
        raise RefusedLine(f"{opts.option}: there is no filter {place[3:]!r} before it")
    if other.netdev is not netdev:
        raise RefusedLine(f"{opts.option}: the filter {place[3:]!r} is on another netdev")


def _setup(opts: Opts, kind: str, values: Mapping[str, Any], setup: Setup, taken: set[str]) -> None:
    if kind == "filter-mirror":
        _chardev(opts, values, "outdev", setup, taken)
    elif kind == "filter-redirector":
        ways = [name for name in ("indev", "outdev") if name in values]
        if not ways:
            raise RefusedLine(f"{opts.option}: it needs indev= or outdev=, or both")
        if len(ways) == 2 and values["indev"] == values["outdev"]:
            raise RefusedLine(f"{opts.option}: indev= and outdev= cannot be the same")
        for name in ways:
            _chardev(opts, values, name, setup, taken)
    for name in ("interval", "maxlen"):
        if number(str(values.get(name, 1))) == 0:
            raise RefusedLine(f"{opts.option}: {name}= cannot be 0")
    if values.get("status", "on") not in ("on", "off"):
        raise RefusedLine(f"{opts.option}: status is on or off, not {values['status']!r}")


def _compare(opts: Opts, values: Mapping[str, Any], setup: Setup, taken: set[str]) -> None:
    if values["outdev"] in (values["primary_in"], values["secondary_in"]):
        raise RefusedLine(f"{opts.option}: what it reads and outdev= cannot be the same")
    thread = values["iothread"]
    if not any(other.id == thread and other.get("qom-type") == "iothread" for other in setup.objects):
        raise RefusedLine(
            f"{opts.option}: there is no iothread {thread!r}", hint=f"add -object iothread,id={thread}"
        )
    for name in ("primary_in", "secondary_in", "outdev"):
        device = _chardev(opts, values, name, setup, taken)
        if device.get("backend") != "socket":
            raise RefusedLine(f"{opts.option}: {name}= is a chardev that is no socket")


def _chardev(
    opts: Opts, values: Mapping[str, Any], name: str, setup: Setup, taken: set[str]
) -> Mapping[str, str]:
    wanted = values[name]
    device = setup.chardevs().get(wanted)
    if device is None:
        raise RefusedLine(
            f"{opts.option}: there is no chardev {wanted!r} ({name}=)",
            hint=f"add -chardev socket,id={wanted},…",
        )
    if wanted in taken and not truth(device.get("mux", "off")):
        raise RefusedLine(f"{opts.option}: the chardev {wanted!r} is in use already")
    taken.add(wanted)
    return device
