"""A tap's script that QEMU runs by default, or as the line asks."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/tap.c", "launch_script(")
_FAILED = Tree("net/tap.c", "failed with status")


def look(seen: Seen) -> Iterator[Finding]:
    for client in filter(seen.opens_a_tap, seen.network.netdevs):
        for name, when in (("script", "at the start"), ("downscript", "at the end")):
            if name not in client.values:
                default = seen.manual.default("tap", name)
                there = "" if seen.host.exists(default) else " (on this host it is not)"
                yield Finding(
                    client.name,
                    f"{when} QEMU runs {default}, the default of {name}=: as root, and it must be there"
                    f"{there}; {name}=no runs nothing",
                )
        said = str(client.values.get("script", "no"))
        if said not in ("no", ""):
            yield Finding(
                client.name,
                f"at the start QEMU runs {said} with the tap's name; where it fails QEMU ends, and the "
                "status "
                "that it names is 256 times the script's exit code: 512 is exit code 2",
                word=_FAILED,
            )
