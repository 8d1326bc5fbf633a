"""The picture of a mode, drawn from its file: who is joined with whom, with the addresses of the lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qtrace.lab.mode.mode import Mode, world
from qtrace.post.article import Diagram, Picture
from qtrace.post.language import Language
from qtrace.post.svg import Canvas, width_of

__all__ = ["Graph", "draw_topology", "graph_of"]

_GAP, _ROW = 56.0, 26.0


@dataclass(slots=True)
class Node:
    """A box: `column` from the left, its lines of text, the frame that it stands in."""

    name: str
    column: int
    lines: tuple[str, ...]
    group: str = ""


@dataclass(slots=True)
class Graph:
    """Boxes and the lines between them; a dashed line is a connection by sockets."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str, bool]] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, column: int, *lines: str, group: str = "") -> None:
        """A box, once."""
        self.nodes.setdefault(name, Node(name, column, tuple(line for line in lines if line), group))

    def join(self, first: str, second: str, *, sockets: bool = False) -> None:
        """A line, once."""
        if (first, second, sockets) not in self.edges:
            self.edges.append((first, second, sockets))


def graph_of(mode: Mode, guests: int, addresses: Mapping[str, str], language: Language) -> Graph:
    """What the file of `mode` says, for as many guests; `addresses` are those that the guests really have."""
    graph = Graph()
    graph.groups["host"] = language.word("host")
    devices = {item.name.replace("{n}", ""): item for item in mode.devices if item.space == "host"}
    for number in range(1, guests + 1):
        guest = f"vm{number}"
        graph.add(guest, 0, guest, f"eth0 {addresses.get(guest, '')}")
        _add_back_end(graph, mode, number, guest, language)
    uplink = next(item for item in world()[0] if (item.space, item.name) == ("host", "eth0"))
    taken = any(item.takes for item in devices.values())
    reaches = taken or bool(mode.nats) or mode.seat(1).netdev[0].startswith("user")
    if reaches:
        middle = next((name for name, item in devices.items() if item.kind == "bridge"), "")
        address = "" if taken else uplink.address
        nat = language.word("nat") if mode.nats else ""
        graph.add("uplink", 3, "eth0", address.partition("/")[0], nat, group="host")
        for name, node in list(graph.nodes.items()):
            if node.column == 2 and (name == middle or not middle):
                graph.join(name, "uplink", sockets=node.group == "host" and name.startswith("sockets"))
        _add_world(graph, language)
    return graph


def _add_back_end(graph: Graph, mode: Mode, number: int, guest: str, language: Language) -> None:
    words = mode.seat(number).netdev[0].replace("{n}", str(number)).split(",")
    kind, options = words[0], dict(word.partition("=")[::2] for word in words[1:])
    back = f"back{number}"
    graph.add(back, 1, f"QEMU: {kind}", *_said_of(options))
    graph.join(guest, back)
    if kind in ("tap", "bridge"):
        _add_tap(graph, mode, number, back, options)
    elif kind == "user":
        graph.add(f"sockets{number}", 2, language.word("sockets"), "127.0.0.1", group="host")
        graph.join(back, f"sockets{number}", sockets=True)
    else:
        place = (
            options.get("listen") or options.get("connect") or options.get("mcast") or options.get("udp", "")
        )
        graph.add("wire", 2, "lo", place, group="host")
        graph.join(back, "wire", sockets=True)


def _said_of(options: Mapping[str, str]) -> list[str]:
    """The option that tells this end from the other."""
    return [name for name in ("listen", "connect", "mcast", "udp") if name in options][:1]


def _add_tap(graph: Graph, mode: Mode, number: int, back: str, options: Mapping[str, str]) -> None:
    device = next((item for item in mode.devices if item.kind == "tap"), None)
    name = options.get("ifname", f"tap{number}")
    address = device.address.replace("{n}", str(number)).partition("/")[0] if device else ""
    bridge = next((item for item in mode.devices if item.kind == "bridge"), None)
    graph.add(name, 1 if bridge else 2, name, address, group="host")
    if not bridge:
        graph.join(back, name)
        return
    graph.nodes[back].lines = (*graph.nodes[back].lines, name)
    del graph.nodes[name]
    graph.add(bridge.name, 2, bridge.name, bridge.address.partition("/")[0], group="host")
    graph.join(back, bridge.name)


def _add_world(graph: Graph, language: Language) -> None:
    places = {item.space: item.address.partition("/")[0] for item in world()[0] if item.name == "eth0"}
    router = next(item for item in world()[0] if (item.space, item.name) == ("router", "br0"))
    graph.add("lan", 4, language.word("lan"), places["lan"])
    graph.add("router", 4, language.word("router"), router.address.partition("/")[0], language.word("nat"))
    graph.add("internet", 5, language.word("internet"), places["internet"])
    for other in ("lan", "router"):
        graph.join("uplink", other)
    graph.join("router", "internet")


def draw_topology(graph: Graph, title: str, language: Language) -> Diagram:
    """The graph as Mermaid and as a drawing."""
    return Diagram(_mermaid(graph), Picture("topology", title, _draw(graph, title)))


def _mermaid(graph: Graph) -> str:
    lines = ["flowchart LR"]

    def box(node: Node) -> str:
        return f'{node.name}["{"<br/>".join(node.lines)}"]'

    lines += [f"    {box(node)}" for node in graph.nodes.values() if not node.group]
    for group, title in graph.groups.items():
        inside = [node for node in graph.nodes.values() if node.group == group]
        if inside:
            lines += [
                f'    subgraph {group}["{title}"]',
                *(f"        {box(node)}" for node in inside),
                "    end",
            ]
    lines += [f"    {first} {'-.-' if sockets else '---'} {second}" for first, second, sockets in graph.edges]
    return "\n".join(lines) + "\n"


def _draw(graph: Graph, title: str) -> str:
    canvas = Canvas("topology", title)
    columns = sorted({node.column for node in graph.nodes.values()})
    places: dict[str, tuple[float, float, float, float]] = {}
    tallest = max(sum(node.column == column for node in graph.nodes.values()) for column in columns)
    height = tallest * (58 + _ROW)
    left = 14.0
    for column in columns:
        nodes = [node for node in graph.nodes.values() if node.column == column]
        width = max(max(width_of(line, 12.5) for line in node.lines) for node in nodes) + 26
        step = height / len(nodes)
        for number, node in enumerate(nodes):
            tall = 22 + 16.0 * len(node.lines)
            places[node.name] = (left, 34 + step * (number + 0.5) - tall / 2, width, tall)
        left += width + _GAP
    for first, second, sockets in graph.edges:
        canvas.line(_between(places[first], places[second]), dashed=sockets)
    for name, (x, y, width, tall) in places.items():
        canvas.box(x, y, width, tall, graph.nodes[name].lines)
    for group, words in graph.groups.items():
        inside = [places[node.name] for node in graph.nodes.values() if node.group == group]
        if inside:
            x, y = min(item[0] for item in inside) - 16, min(item[1] for item in inside) - 30
            right = max(item[0] + item[2] for item in inside) + 16
            below = max(item[1] + item[3] for item in inside) + 14
            canvas.box(x, y, right - x, below - y, [words], kind="group")
    return canvas.svg()


def _between(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> list[tuple[float, float]]:
    x, y, width, tall = first
    return [(x + width, y + tall / 2), (second[0], second[1] + second[3] / 2)]
