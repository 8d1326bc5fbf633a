"""A script or a helper that -sandbox forbids to start."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("softmmu/qemu-seccomp.c", "QEMU_SECCOMP_SET_SPAWN")
_LATER = Tree("system/qemu-seccomp.c", "QEMU_SECCOMP_SET_SPAWN")


def look(seen: Seen) -> Iterator[Finding]:
    if not any("spawn=deny" in (option.value or "").split(",") for option in seen.options("sandbox")):
        return
    word = WORD if seen.source(WORD.file) else _LATER
    for client in seen.network.netdevs:
        scripts = seen.opens_a_tap(client) and client.values.get("script") not in ("no", "")
        if scripts:
            yield Finding(
                client.name,
                "no script can run under -sandbox …,spawn=deny: QEMU ends at its start; script=no runs none",
                Mend((changed(client.option, {"script": "no", "downscript": "no"}),))
                if client.option
                else None,
                word=word,
            )
        elif client.type == "bridge" or "helper" in client.values:
            yield Finding(
                client.name,
                "no helper can run under -sandbox …,spawn=deny: QEMU ends at its start",
                word=word,
            )
