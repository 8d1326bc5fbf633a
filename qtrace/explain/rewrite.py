"""The same network in the other notations: -netdev with -device, -nic, -net.

Whether a notation is exact is tested: the same reader reads the new line, and the two networks are compared.
Names that QEMU chooses at random do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.clients import Client, Network
from qtrace.explain.machine_type import Machine
from qtrace.explain.words import Line, Option

__all__ = ["rewrites"]

_NETWORK = ("netdev", "nic", "net")
# Options that identify the NIC; each notation writes them in another way.
_IDENTITY = ("type", "driver", "id", "netdev", "mac", "macaddr", "model")
_NESTED = ("stream", "dgram")
Read = Callable[[Sequence[str]], Network]


@dataclass(frozen=True, slots=True)
class _Form:
    name: str
    words: list[str]
    lost: list[str]


_Maker = Callable[[Network, bool, bool], _Form | None]


def rewrites(line: Line, network: Network, machine: Machine, read: Read) -> list[dict[str, Any]]:
    """The other notations, as {form, argv, exact, differs}. `read` makes a network of words."""
    if not network.clients or any(option.name == "readconfig" for option in line.options):
        return []
    onboard = machine.onboard and machine.known
    if any(request.model is None and not onboard for request in network.requested):
        onboard = False
    moved = _moved(line, network)
    if not machine.known:
        moved.append("this machine is unknown, so whether the result is the same is unknown")
    forms = (_best(make, line, network, onboard, moved, read) for make in (_modern, _nic, _net))
    return [form for form in forms if form is not None and form["argv"] != [line.program, *_all(line)]]


def _best(
    make: _Maker, line: Line, network: Network, onboard: bool, moved: list[str], read: Read
) -> dict[str, Any] | None:
    """The closest line in one notation: without the MAC addresses that QEMU chooses, else with them."""
    best: dict[str, Any] | None = None
    for macs in (False, True):
        form = make(network, onboard, macs)
        if form is None:
            break
        argv = _line(line, network, form.words)
        try:
            differs = [*_differences(network, read(argv)), *moved]
        except RefusedLine:
            break
        if form.lost:  # reported once
            differs = [*form.lost, *(words for words in differs if " on hub " not in words)]
        entry = {"form": form.name, "argv": argv, "exact": not differs, "differs": differs}
        if best is None or not differs:
            best = entry
        if not differs:
            break
    return best


def _moved(line: Line, network: Network) -> list[str]:
    """NICs that now come before a device that was before them: QEMU assigns slots in that order."""
    before = [opts.option.number for opts in network.others]
    before += [option.number for option in line.options if option.name == "virtfs"]
    return [
        f"{nic.name} may sit in another PCI slot"
        for nic in network.nics
        if nic.form == "-device" and nic.opts and "addr" not in nic.values
        if any(number < nic.opts.option.number for number in before)
    ]


def _all(line: Line) -> list[str]:
    return [word for option in line.options for word in option.words]


def _line(line: Line, network: Network, words: list[str]) -> list[str]:
    """`line` with other words for its network, before every device: on-board NICs get their slots first."""
    mine = {id(client.opts.option) for client in network.clients if client.opts}
    mine |= {id(request.opts.option) for request in network.requested}
    named = {client.opts.id for client in network.clients if client.opts}
    argv, put = [line.program or f"qemu-system-{line.target}"], False
    for option in line.options:
        ours = option.name in _NETWORK or id(option) in mine or (_sets(option) in named and _sets(option))
        if not put and (ours or option.name in ("device", "virtfs")):
            argv += words
            put = True
        if not ours:
            argv += option.words
    return [*argv, *([] if put else words), *line.images]


def _sets(option: Option) -> str:
    return (option.value or "").split(".")[1] if option.name == "set" and "." in (option.value or "") else ""


def _ids(network: Network) -> dict[int, str]:
    """id() of a back end or port -> a name for it in the new line."""
    taken = {client.name for client in network.clients}
    names, count = {}, 0
    for client in network.clients:
        if client.kind == "nic":
            continue
        name = client.name
        if name.startswith("#"):
            while f"net{count}" in taken:
                count += 1
            name = f"net{count}"
            taken.add(name)
        names[id(client)] = name
    return names


def _modern(network: Network, onboard: bool, macs: bool) -> _Form | None:
    """-netdev with -device: every network can be written in this notation."""
    if any(nic.type == "the machine's own" for nic in network.nics):
        return None
    if all(client.form in ("-netdev", "-device") for client in network.clients):
        return None
    names = _ids(network)
    words: list[str] = []
    for client in network.netdevs:
        words += ["-netdev", _value(client.type, ("id", names[id(client)]), *_pairs(client))]
    for client in network.clients:
        if client.kind == "port":
            words += ["-netdev", _port(client, names)]
    for nic in network.nics:
        words += _device(nic, names, macs)
    return _Form("-netdev and -device", words, [])


def _port(port: Client, names: dict[int, str]) -> str:
    pairs = [("id", names[id(port)]), ("hubid", str(port.hub))]
    if port.peer is not None and port.peer.kind != "nic":
        pairs.append(("netdev", names[id(port.peer)]))
    return _value("hubport", *pairs)


def _device(nic: Client, names: dict[int, str], macs: bool) -> list[str]:
    pairs = [] if nic.generated else [("id", nic.name)]
    if nic.peer is not None:
        pairs.append(("netdev", names[id(nic.peer)]))
    mac = _given_mac(nic) or (nic.mac if macs else "")
    pairs += [("mac", mac)] if mac else []
    return ["-device", _value(nic.type, *pairs, *_extra(nic))]


def _nic(network: Network, onboard: bool, macs: bool) -> _Form | None:
    """-nic for each pair of NIC and back end; the others keep their notation."""
    pairs = [(nic, other) for nic in network.nics if (other := _other(network, nic))]
    able = [(nic, other) for nic, other in pairs if other.type not in _NESTED and _of_board(nic)]
    if not onboard or not able or all(nic.form == "-nic" for nic, _ in pairs):
        return None
    names = _ids(network)
    done = {id(client) for pair in able for client in pair}
    words, lost = [], []
    for nic, other in able:
        said = [] if other.generated else [("id", other.name)]
        said.append(("model", nic.type))
        mac = _given_mac(nic) or (nic.mac if macs else "")
        said += [("mac", mac)] if mac else []
        words += ["-nic", _value(other.type, *said, *_pairs(other))]
        if nic.peer is not other:
            lost.append(f"no hub stands between {nic.name} and {other.name}")
    words += _separate(network, names, macs, done)
    return _Form("-nic", words, lost)


def _separate(network: Network, names: dict[int, str], macs: bool, done: set[int]) -> list[str]:
    """-netdev and -device for all clients that are not in `done` (by id)."""
    words: list[str] = []
    for client in network.netdevs:
        if id(client) not in done:
            words += ["-netdev", _value(client.type, ("id", names[id(client)]), *_pairs(client))]
    for nic in network.nics:
        if id(nic) not in done:
            words += _device(nic, names, macs)
    return words


def _net(network: Network, onboard: bool, macs: bool) -> _Form | None:
    """-net: on the hub, or -net nic,netdev= beside -netdev."""
    ready = all(client.form in ("-net", "") for client in network.clients if client.kind != "port")
    stated = all(client.form == "-net" for client in network.clients if client.kind != "port")
    if not onboard or not network.nics or stated or set(network.hubs) - {0}:
        return None
    if not all(_of_board(nic) for nic in network.nics):
        return None
    names = _ids(network)
    if ready:
        members = [port.peer for port in network.hubs.get(0, []) if port.peer is not None]
        return _Form("-net", [word for client in members for word in _on_hub(client, macs)], [])
    if network.hubs or any(nic.peer is None for nic in network.nics):
        return None
    words: list[str] = []
    for client in network.netdevs:
        words += ["-netdev", _value(client.type, ("id", names[id(client)]), *_pairs(client))]
    for nic in network.nics:
        words += ["-net", _value("nic", ("netdev", names[id(nic.peer)]), *_front(nic, macs))]
    return _Form("-netdev and -net nic", words, [])


def _on_hub(client: Client, macs: bool) -> list[str]:
    """The -net of a member of the hub."""
    if client.kind == "nic":
        return ["-net", _value("nic", *_front(client, macs))]
    named = [] if client.generated else [("id", client.name)]
    return ["-net", _value(client.type, *named, *_pairs(client))]


def _front(nic: Client, macs: bool) -> list[tuple[str, str]]:
    mac = _given_mac(nic) or (nic.mac if macs else "")
    kept = [(key, value) for key, value in _extra(nic) if key in ("addr", "vectors")]
    return [("model", nic.type), *([("macaddr", mac)] if mac else []), *kept]


def _other(network: Network, nic: Client) -> Client | None:
    """The only back end that a NIC reaches, through a hub of two or directly."""
    if nic.peer is None or nic.peer.kind == "netdev":
        return nic.peer
    ports = network.hubs.get(nic.peer.hub or 0, [])
    others = [port.peer for port in ports if port.peer is not nic]
    alone = len(others) == 1 and others[0] is not None and others[0].kind == "netdev"
    return others[0] if alone else None


def _of_board(nic: Client) -> bool:
    """Whether -nic and -net nic accept the model."""
    return nic.type not in ("usb-net", "virtio-net-device", "the machine's own")


def _given_mac(nic: Client) -> str:
    given = any(name in nic.values and name not in nic.settings for name in ("mac", "macaddr"))
    return nic.mac if given else ""


def _extra(nic: Client) -> list[tuple[str, str]]:
    """A NIC's options besides those that identify it; empty if they belong to its back end (-nic)."""
    if nic.form == "-nic":
        return []
    return [
        (key, text)
        for key, value in nic.values.items()
        if key not in _IDENTITY and key not in nic.settings
        for text in _texts(value)
    ]


def _pairs(client: Client) -> list[tuple[str, str]]:
    return [pair for key, value in client.values.items() for pair in _flat(key, value)]


def _flat(key: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for name, inner in value.items() for pair in _flat(f"{key}.{name}", inner)]
    return [(key, text) for text in _texts(value)]


def _texts(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["on" if value else "off"]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):  # the String of the schema
        return [text for item in value.values() for text in _texts(item)]
    return [str(value)]


def _value(first: str, *pairs: tuple[str, str]) -> str:
    """`first,name=value,…`, commas inside doubled."""
    parts = [first, *(f"{name}={value}" for name, value in pairs)]
    return ",".join(part.replace(",", ",,") for part in parts)


def _differences(before: Network, after: Network) -> list[str]:
    """The differences between the two networks, in words."""
    words: list[str] = []
    for what, one, two in (
        ("NIC", before.nics, after.nics),
        ("back end", before.netdevs, after.netdevs),
    ):
        if len(one) != len(two):
            words.append(f"{len(two)} instead of {len(one)} of kind {what}")
    words += _nic_differences(before, after)
    left = list(after.netdevs)
    for netdev in before.netdevs:
        same = next((item for item in left if _same_netdev(netdev, item)), None)
        if same is None:
            words.append(f"no {netdev.type} with the same options")
        else:
            left.remove(same)
    words += _hub_differences(before, after)
    return list(dict.fromkeys(words))


def _nic_differences(before: Network, after: Network) -> list[str]:
    words = []
    spare = list(after.nics)
    for nic in before.nics:
        found = next((other for other in spare if _alike(nic, other)), None)
        if found is None:
            words.append(f"no {nic.type} with {nic.mac} on {_what(nic.peer)}")
            continue
        spare.remove(found)
        if not nic.generated and nic.name != found.name:
            words.append(f"the NIC's id {nic.name!r} cannot be given")
        extra, its = dict(_extra(nic)), dict(_extra(found))
        if gone := sorted(key for key in extra if its.get(key) != extra[key]):
            words.append(f"{nic.name}: {', '.join(gone)} cannot be given")
        if _order(before, nic) != _order(after, found):
            words.append(f"{nic.name} is not the guest's {_order(before, nic) + 1}. NIC")
    return words


def _hub_differences(before: Network, after: Network) -> list[str]:
    if {n: _members(p) for n, p in before.hubs.items()} == {n: _members(p) for n, p in after.hubs.items()}:
        return []
    if not (before.hubs and not after.hubs):
        return ["the hubs differ"]
    return [] if any(_what(nic.peer).startswith("hub") for nic in before.nics) else ["there is no hub"]


def _order(network: Network, nic: Client) -> int:
    return next(number for number, other in enumerate(network.nics) if other is nic)


def _alike(nic: Client, other: Client) -> bool:
    if (nic.type, nic.mac, nic.queues) != (other.type, other.mac, other.queues):
        return False
    if nic.peer is None or other.peer is None:
        return nic.peer is other.peer
    if nic.peer.kind == "port" or other.peer.kind == "port":
        return nic.peer.kind == other.peer.kind and nic.peer.hub == other.peer.hub
    return _same_netdev(nic.peer, other.peer)


def _same_netdev(one: Client, two: Client) -> bool:
    named = one.name == two.name or one.name.startswith("#") or two.name.startswith("#")
    return named and one.type == two.type and sorted(_pairs(one)) == sorted(_pairs(two))


def _members(ports: list[Client]) -> list[str]:
    # A port of -nic hubport has a random name.
    names = (port.name if port.name.startswith("hub") else "" for port in ports)
    return sorted(f"{name} {_kind(port.peer)}" for name, port in zip(names, ports, strict=True))


def _kind(peer: Client | None) -> str:
    return f"{peer.kind} {peer.type} {peer.mac}" if peer else "nothing"


def _what(peer: Client | None) -> str:
    if peer is None:
        return "nothing"
    return f"hub {peer.hub}" if peer.kind == "port" else f"{peer.type} {peer.name}"
