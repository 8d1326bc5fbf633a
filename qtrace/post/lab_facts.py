"""A lab's material as facts: what its commands printed, what its packets were, who reached whom."""

from __future__ import annotations

import re

from qtrace.lab.mode.mode import world
from qtrace.lab.mode.responder import PORT
from qtrace.post.fact_book import FactBook
from qtrace.post.material import Material

__all__ = ["add_lab_facts"]


def add_lab_facts(material: Material, book: FactBook) -> None:
    """Put everything of a lab into the book. Raises PostError for a name that is given twice."""
    for name, address in material.head["guests"].items():
        book.add(f"lab.{name}", address, "mode", f"{material.mode.name}: the guest's own address")
    book.add("lab.guests", len(material.head["guests"]), "transcript", "head: guests")
    for device in world()[0]:
        if device.name == "eth0":
            book.add(f"lab.{device.space}", device.address.partition("/")[0], "world", f"{device.space} eth0")
    book.add("lab.port", PORT, "world", "the port of every responder")
    book.add("lab.loopback", "127.0.0.1", "world", "lo of every machine")
    book.add("lab.guest_kernel", material.head["kernel"], "transcript", "head: kernel")
    book.add("lab.date", material.head["date"], "transcript", "head: date")
    for entry in material.entries.values():
        at = f"entries {entry.name}"
        book.add(f"listing.{entry.name}", entry.text(), "transcript", at)
        book.add(f"{entry.name}.command", entry.command, "transcript", f"{at}: command")
        for key, value in entry.facts.items():
            book.add(f"{entry.name}.{key}", value, "transcript", f"{at}: the script's pattern for {key}")
    _add_capture(material, book)
    for name, cell in material.reach["cells"].items():
        for key in ("arp", "icmp", "tcp", "udp", "observed"):
            book.add(f"reach.{name}.{key}", cell[key], "reach", f"cells {name}: {key}")


def _add_capture(material: Material, book: FactBook) -> None:
    book.add("probe.command", material.captured["probe"], "capture", "probe")
    book.add("probe.said", material.captured["said"], "capture", "said")
    for place, number in material.captured["counts"].items():
        book.add(f"counted.{place}", number, "capture", f"counts {place}")
    for hop in material.hops:
        stem = f"hop.{hop.place.name}"
        at = f"hops {hop.place.name}"
        book.add(f"{stem}.length", hop.length, "capture", f"{at}: length")
        book.add(f"{stem}.offset", hop.offset, "capture", f"{at}: offset")
        book.add(f"{stem}.relation", hop.relation, "capture", f"{at}: relation")
        book.add(f"{stem}.text", hop.text, "capture", f"{at}: text")
        if ends := re.search(r"(\d+(?:\.\d+){3})\.(\d+) > (\d+(?:\.\d+){3})\.(\d+): Flags", hop.text):
            book.add(f"{stem}.from", f"{ends[1]}:{ends[2]}", "capture", f"{at}: text, its source")
            book.add(f"{stem}.to", f"{ends[3]}:{ends[4]}", "capture", f"{at}: text, its destination")
