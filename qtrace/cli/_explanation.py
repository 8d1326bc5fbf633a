"""An explained command line as text, Markdown and a mermaid diagram."""

from __future__ import annotations

import shlex
from typing import Any

from qtrace.cli._console import plain

__all__ = ["as_markdown", "as_mermaid", "as_text", "clients", "places", "rules_as_text"]

# Findings about the way in which the line was read.
_OF_THE_READER = ("remark", "unknown", "vendor", "release")


def clients(data: dict[str, Any]) -> list[dict[str, Any]]:
    """NICs and back ends."""
    return [*data["nics"], *data["netdevs"]]


def places(client: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions that make the client and carry its frames."""
    return [*([client["created_by"]] if client["created_by"] else []), *client["carried_by"]]


def _title(data: dict[str, Any]) -> str:
    machine = f"the machine {data['machine'] or 'that is its default'} of {data['target']}"
    counts = [_count(data["nics"], "NIC"), _count(data["netdevs"], "back end"), _count(data["hubs"], "hub")]
    running = data.get("process", {}).get("qemu") or data["qemu"]
    release = data["qemu"] if running == data["qemu"] else f"{running}, explained as {data['qemu']}"
    return f"QEMU {release}, {machine}: {', '.join(counts)}"


def _count(items: list[Any], word: str) -> str:
    return f"{len(items) or 'no'} {word}{'s' * (len(items) != 1)}"


def _pairs(data: dict[str, Any]) -> list[str]:
    """The picture: one line for each NIC, and for each hub or back end without one."""
    kinds = {client["name"]: client["type"] for client in clients(data)}
    lines = []
    for nic in data["nics"]:
        start = f"guest --- {nic['name']} ({nic['type']})"
        if nic["hub"] is not None:
            start += f" === hub {nic['hub']}"
        elif nic["peer"]:
            start += f" === {nic['peer']} ({kinds.get(nic['peer'], '?')}) --- {_outside(data, nic['peer'])}"
        else:
            start += " === nothing"
        lines.append(start)
    for hub in data["hubs"]:
        members = [
            f"{port['name']}: {port['peer']} ({kinds.get(port['peer'], 'hubport')})"
            if port["peer"]
            else f"{port['name']}: nothing"
            for port in hub["ports"]
        ]
        lines.append(f"hub {hub['id']}: " + ", ".join(members))
    for netdev in data["netdevs"]:
        if netdev["hub"] is not None:
            outside = _outside(data, netdev["name"])
            lines.append(f"hub {netdev['hub']} === {netdev['name']} ({netdev['type']}) --- {outside}")
        elif not netdev["peer"]:
            lines.append(f"nothing === {netdev['name']} ({netdev['type']})")
    for item in data["filters"]:
        on = f"on {item['netdev']}" if item["netdev"] else "beside the network"
        lines.append(f"{item['name']} ({item['type']}) {on}")
    return lines


# The far end of a back end, in a word.
_OUTSIDE = {
    "user": "the host's sockets",
    "tap": "a network interface of the host",
    "bridge": "a bridge of the host",
}


def _outside(data: dict[str, Any], name: str) -> str:
    netdev = next((item for item in data["netdevs"] if item["name"] == name), None)
    if netdev is None:
        return "the hub"
    values = {row["name"]: row["value"] for row in netdev["options"] if row["given"]}
    for key in (
        "ifname",
        "br",
        "connect",
        "listen",
        "mcast",
        "udp",
        "sock",
        "chardev",
        "addr",
        "remote",
        "dst",
    ):
        if key in values:
            return f"{key} {values[key]}"
    return _OUTSIDE.get(netdev["type"], "the host")


def _facts(client: dict[str, Any], kind: str) -> list[str]:
    lines = []
    if kind == "nic":
        lines.append(f"model {client['type']}, MAC address {client['mac']}")
    source = client["from"] or "QEMU's default: the line says nothing of the network"
    lines.append(f"from {source}")
    if client["queues"] > 1:
        lines.append(f"{client['queues']} queues")
    if client["hub"] is not None:
        lines.append(f"peer {client['peer']}, a port of hub {client['hub']}")
    else:
        lines.append(f"peer {client['peer'] or 'none'}")
    for word, places in (("made by", [client["created_by"]]), ("frames go to", client["carried_by"])):
        lines += [f"{word} {item['function']} ({item['file']}:{item['line']})" for item in places if item]
    if client.get("address"):
        lines.append(f"PCI address {client['address']} on {client['bus']}")
    lines += [f"needs {item}" for item in client.get("privilege", ())]
    lines += _cost(client["cost"]) if client.get("cost") else []
    lines += [f"go on with: {walk}" for walk in client["walk"]]
    return lines


def _cost(cost: dict[str, Any]) -> list[str]:
    """The measured rows of a pair, each with its workload and run."""
    rows = [f"{row['direction']} {row['throughput']} ({_of_tap(row)})" for row in cost["throughput"]] + [
        f"round trip {row['p50']} ({_of_tap(row)})" for row in cost["latency"]
    ]
    said = cost["conditions"]
    where = f"venue {said.get('venue', '?')}, accelerator {said.get('accelerator', '?')}"
    return [
        f"measured as a hint: {', '.join(rows)}",
        f"  in {cost['report']}, run {cost['run']}: {where}, QEMU {said.get('QEMU', '?')}",
    ]


def _of_tap(row: dict[str, str]) -> str:
    interval = row.get("ratio interval", "–")
    return f"{row['ratio']} tap" + (f", {interval}" if interval != "–" else "")


def _basis(rows: list[dict[str, Any]]) -> str:
    if all(row["basis"] == "documented" for row in rows):
        return "who can reach whom, as QEMU documents it (not measured):"
    return "who can reach whom:"


def _reach(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of reachability: from, to, result, and the source of the claim."""
    return [
        f"{row['from']} -> {row['to']}: {row['can']}, {row['condition']}  [{row['basis']}: {row['source']}]"
        for row in rows
    ]


def _rows(client: dict[str, Any], every: bool) -> list[dict[str, Any]]:
    """The options to show: those of the line, and scripts that run although the line does not name them."""
    given = {row["name"] for row in client["options"] if row["given"]}
    opened = given & {"fd", "fds", "helper"}
    return [
        row
        for row in client["options"]
        if row["given"] or every or (row["name"] in ("script", "downscript") and not opened)
    ]


def as_text(data: dict[str, Any], every: bool) -> str:
    """The explanation for a terminal. `every`: options that the line does not set, too."""
    lines = [_title(data), ""]
    lines += [f"  {line}" for line in _pairs(data)]
    for kind, client in _sections(data):
        lines += ["", *_client_text(kind, client, every)]
    for hub in data["hubs"]:
        lines += ["", f"hub {hub['id']}", f"  {_basis(hub['reach'])}"]
        lines += [f"    {text}" for text in _reach(hub["reach"])]
    for item in data["filters"]:
        lines += ["", f"{item['type']} {item['name']}", f"  from {item['from']}"]
        lines += [f"    {row['name']} = {row['value']}" for row in _rows(item, every)]
    if data["other_devices"]:
        lines += ["", f"Other devices, not checked:  {'; '.join(data['other_devices'])}"]
    if "together" in data:
        lines += ["", "Together with the other line"]
        lines += [f"  !! {item['severity']}: {item['about']}: {item['text']}" for item in data["together"]]
        lines += [] if data["together"] else ["  nothing that only one of them may have, and no ends apart"]
    if data["warnings"]:
        lines += ["", "To know"]
    for item in data["warnings"]:
        lines.append(f"  !! {_finding(item)}")
        if item["mended"]:
            lines.append(f"      mended: {shlex.join(item['mended'])}")
    if data.get("rewrites"):
        lines += ["", "The same in other words"]
        for form in data["rewrites"]:
            mark = "exact" if form["exact"] else "differs"
            lines.append(f"  {form['form']} ({mark}): {shlex.join(form['argv'])}")
            lines += [f"      {text}" for text in form["differs"]]
    return "\n".join(lines)


def _sections(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("nic", item) for item in data["nics"]] + [("netdev", item) for item in data["netdevs"]]


def _client_text(kind: str, client: dict[str, Any], every: bool) -> list[str]:
    """A NIC or back end: its facts, its options, its reachability."""
    word = "NIC" if kind == "nic" else client["type"]
    lines = [f"{word} {client['name']}", *(f"  {fact}" for fact in _facts(client, kind))]
    for row in _rows(client, every):
        value = row["value"] or "QEMU's choice"
        source = "" if row["given"] else "  (default)"
        lines.append(f"    {row['name']} = {value}{source}")
        if row["meaning"]:
            where = f"  [{row['file']}:{row['line']}]" if row["file"] else ""
            lines.append(f"        {row['meaning']}{where}")
    rest = len(client["options"]) - len(_rows(client, every))
    if rest:
        lines.append(f"    … and {rest} more at their defaults: --all")
    if client.get("reach") and client["peer"]:
        lines.append(f"  {_basis(client['reach'])}")
        lines += [f"    {text}" for text in _reach(client["reach"])]
    return lines


def _finding(item: dict[str, Any]) -> str:
    """A finding's severity, subject, text and source; a remark of the reader has no source."""
    about = f"{item['about']}: " if item["about"] else ""
    if item["kind"] in _OF_THE_READER:
        return f"{about}{item['text']}"
    return f"{item['severity']}: {about}{item['text']}  [{item['source']}]"


def as_markdown(data: dict[str, Any], every: bool) -> str:
    """The explanation as Markdown."""
    lines = [f"**{_cell(_title(data))}**", "", "```", *_pairs(data), "```"]
    for kind, client in _sections(data):
        lines += ["", *_client_markdown(kind, client, every)]
    for hub in data["hubs"]:
        lines += ["", f"### hub {hub['id']}", "", _cell(_basis(hub["reach"])), ""]
        lines += [f"- {_cell(text)}" for text in _reach(hub["reach"])]
    for item in data["filters"]:
        lines += ["", f"### {item['type']} `{_cell(item['name'])}`", "", f"- from {_cell(item['from'])}"]
        lines += [f"- {row['name']} = {_cell(row['value'])}" for row in _rows(item, every)]
    if data.get("together"):
        lines += ["", "### Together with the other line", ""]
        lines += [
            _cell(f"- {item['severity']}: {item['about']}: {item['text']}") for item in data["together"]
        ]
    if data["warnings"]:
        lines += ["", "### To know", ""]
    for item in data["warnings"]:
        mended = f" — mended: `{shlex.join(item['mended'])}`" if item["mended"] else ""
        lines.append(f"- {_cell(_finding(item) + mended)}")
    if data.get("rewrites"):
        lines += ["", "### The same in other words", ""]
        for form in data["rewrites"]:
            mark = "exact" if form["exact"] else "differs: " + "; ".join(form["differs"])
            lines.append(f"- `{form['form']}` ({_cell(mark)}): `{shlex.join(form['argv'])}`")
    return "\n".join(lines)


def _client_markdown(kind: str, client: dict[str, Any], every: bool) -> list[str]:
    word = "NIC" if kind == "nic" else client["type"]
    lines = [f"### {word} `{_cell(client['name'])}`", ""]
    lines += [f"- {_cell(fact)}" for fact in _facts(client, kind)]
    if rows := _rows(client, every):
        lines += ["", "| option | value | default | meaning | where |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        where = f"{row['file']}:{row['line']}" if row["file"] else ""
        value = row["value"] if row["given"] else "default"
        cells = (f"`{row['name']}`", value, row["default"], row["meaning"], where)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    if client.get("reach") and client["peer"]:
        lines += ["", _cell(_basis(client["reach"])), ""]
        lines += [f"- {_cell(text)}" for text in _reach(client["reach"])]
    return lines


def rules_as_text(rows: list[dict[str, str]]) -> str:
    """The rules of explain: one in each line, with severity and source."""
    wide = max(len(row["name"]) for row in rows)
    return "\n".join(
        f"{row['severity']:5}  {row['name']:{wide}}  {row['looks_for']}  [{row['source']}]" for row in rows
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_mermaid(data: dict[str, Any]) -> str:
    """The picture as a flow chart."""
    lines = ["flowchart LR", "    guest([guest])"]
    numbers = {client["name"]: f"c{n}" for n, client in enumerate(clients(data))}
    nics = {nic["name"] for nic in data["nics"]}
    for client in clients(data):
        lines.append(
            f'    {numbers[client["name"]]}["{_label(client["name"])}<br/>{_label(client["type"])}"]'
        )
    lines += [f'    h{hub["id"]}{{{{"hub {hub["id"]}"}}}}' for hub in data["hubs"]]
    for nic in data["nics"]:
        lines.append(f"    guest --- {numbers[nic['name']]}")
        if nic["hub"] is None and nic["peer"] in numbers:
            lines.append(f"    {numbers[nic['name']]} === {numbers[nic['peer']]}")
    for hub in data["hubs"]:
        for port in hub["ports"]:
            if port["peer"] in nics:
                lines.append(f"    {numbers[port['peer']]} === h{hub['id']}")
            elif port["peer"] in numbers:
                lines.append(f"    h{hub['id']} === {numbers[port['peer']]}")
    for netdev in data["netdevs"]:
        number = numbers[netdev["name"]]
        lines.append(f'    {number} --- o{number}(["{_label(_outside(data, netdev["name"]))}"])')
    for place, item in enumerate(data["filters"]):
        lines.append(f'    f{place}[/"{_label(item["name"])}<br/>{_label(item["type"])}"/]')
        if item["netdev"] in numbers:
            lines.append(f"    f{place} -.- {numbers[item['netdev']]}")
    return "\n".join(lines)


def _label(text: str) -> str:
    """Text inside a node: characters that would end the node become mermaid's entities."""
    kept = plain(text).replace("\n", " ").replace("&", "#amp;").replace('"', "#quot;")
    return kept.replace("<", "#lt;").replace(">", "#gt;").replace("\t", " ")
