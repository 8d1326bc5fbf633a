"""vhost-user without guest memory that the switch can see."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.opts import Opts
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree
from qtrace.explain.values import truth

SEVERITY: Severity = "wrong"
WORD = Tree("qemu-options.hx", "mem-path=/hugetlbfs,share=on")
_UNIT = re.compile(r"(?:size=)?(\d+)([kKmMgGtT]?)(?:,|\Z)")
_ALWAYS = ("memory-backend-memfd", "memory-backend-shm")  # shared unless share=off


def look(seen: Seen) -> Iterator[Finding]:
    switches = [client for client in seen.network.netdevs if client.type == "vhost-user"]
    if not switches:
        return
    used = set(_used(seen))
    backends = [item for item in seen.objects() if item.id in used]
    private = [item for item in backends if not _shared(item)]
    if backends and not private:
        return
    for client in switches:
        yield Finding(
            client.name,
            "no frame will pass: the switch cannot see the guest's memory, which must be "
            f"{'shared: share=on is missing' if private else 'a memory-backend with share=on'}",
            _mend(seen, private, {item.id for item in seen.objects()}),
        )


def _used(seen: Seen) -> Iterator[str]:
    for option in seen.options("machine", "M", "numa"):
        for piece in (option.value or "").split(","):
            name, _, value = piece.partition("=")
            if name in ("memory-backend", "memdev"):
                yield value


def _shared(item: Opts) -> bool:
    said = item.get("share")
    if said is None:
        return item.get("qom-type") in _ALWAYS
    return truth(said) is True


def _mend(seen: Seen, private: list[Opts], names: set[str | None]) -> Mend | None:
    if private:
        return Mend(tuple(changed(item.option, {"share": True}) for item in private))
    if "mem" in names or seen.options("mem-path", "numa"):
        return None
    said = [match for option in seen.options("m") if (match := _UNIT.match(option.value or ""))]
    room = f"{said[-1][1]}{said[-1][2] or 'M'}" if said else "128M"
    memory = f"memory-backend-memfd,id=mem,size={room},share=on"
    return Mend((), ("-object", memory, "-machine", "memory-backend=mem"))
