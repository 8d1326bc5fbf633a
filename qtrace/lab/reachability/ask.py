"""Reachability tests: ARP, ICMP, TCP and UDP, tried from a guest or from a namespace.

TCP and UDP go to responders (responder.py, responder.pl), which give their name and the caller's address. A
ping does not show which machine answers, so the kernels' counters of echo requests are read before and after.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qtrace.lab.guest.guest import Guest
from qtrace.lab.host.netns import Namespace
from qtrace.lab.mode.responder import PORT

__all__ = ["Answer", "Target", "ask_from_guest", "ask_from_space", "echo_requests"]

_REPLY = re.compile(r"\[([0-9a-fA-F:]{17})\]")


@dataclass(frozen=True, slots=True)
class Target:
    """An address to try. Without `everything`, only TCP and UDP are tried: it is a forwarded port."""

    address: str
    port: int = PORT
    everything: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """The answers: `arp` is the answerer's MAC address, `tcp` and `udp` are `NAME ADDRESS:PORT`; or empty."""

    arp: str = ""
    icmp: bool = False
    tcp: str = ""
    udp: str = ""

    @property
    def names(self) -> set[str]:
        """The machines that answered TCP and UDP."""
        return {text.split()[0] for text in (self.tcp, self.udp) if text}


def ask_from_guest(guest: Guest, targets: Sequence[Target], seconds: int) -> list[Answer]:
    """Try all `targets` at once from a lab's guest, each for `seconds`. Raises LabError if the guest
    ended."""
    lines = []
    for number, target in enumerate(targets):
        if target.everything:
            ping, where = (
                f"ping -c 1 -W {(seconds + 1) // 2} {target.address} >/dev/null 2>&1",
                target.address,
            )
            lines.append(f"{{ {ping} || {ping}; }} && echo icmp {number} yes &")
            lines.append(f'echo "arp {number}" $(arping -f -c 2 -w {seconds} -I eth0 {where} 2>&1) &')
    every = [f"{kind}:{target.address}:{target.port}" for target in targets for kind in ("tcp", "udp")]
    lines.append(f"perl /responder.pl ask {seconds} {' '.join(every)}")
    said = guest.sh("\n".join([*lines, "wait"]), timeout=120).splitlines()
    found: dict[str, str] = {}
    for line in said:
        first, _, rest = line.partition(" ")
        if first in ("icmp", "arp"):
            which, _, rest = rest.partition(" ")
            found[f"{first} {which}"] = rest
        elif first in every:
            found[first] = rest.strip()
    return [
        Answer(
            _mac(found.get(f"arp {number}", "")),
            f"icmp {number}" in found,
            found.get(f"tcp:{target.address}:{target.port}", ""),
            found.get(f"udp:{target.address}:{target.port}", ""),
        )
        for number, target in enumerate(targets)
    ]


def ask_from_space(space: Namespace, device: str, target: Target, seconds: int) -> Answer:
    """Try `target` for `seconds` from a namespace, ARP through `device`."""
    with ThreadPoolExecutor(4) as pool:
        tcp = pool.submit(_ask, space, socket.SOCK_STREAM, target, seconds)
        udp = pool.submit(_ask, space, socket.SOCK_DGRAM, target, seconds)
        if not target.everything:
            return Answer(tcp=tcp.result(), udp=udp.result())
        ping = ["ping", "-c", "1", "-W", str((seconds + 1) // 2), target.address]
        arping = ["arping", "-f", "-c", "2", "-w", str(seconds), "-I", device, target.address]
        icmp = pool.submit(lambda: any(_tool(space, ping)[0] == 0 for _ in range(2)))
        arp = pool.submit(_tool, space, arping)
        return Answer(_mac(arp.result()[1]), icmp.result(), tcp.result(), udp.result())


def echo_requests(machine: Guest | Namespace) -> int:
    """The number of echo requests that the machine's own kernel received (Linux's net/ipv4/proc.c)."""
    if isinstance(machine, Guest):
        table = machine.sh("cat /proc/net/snmp")
    else:
        table = machine.make(lambda: Path("/proc/thread-self/net/snmp").read_text())
    names, values = (line.split() for line in table.splitlines() if line.startswith("Icmp:"))
    return int(dict(zip(names, values, strict=True))["InEchos"])


def _ask(space: Namespace, kind: int, target: Target, seconds: int) -> str:
    """The responder's answer, or empty."""
    deadline = time.monotonic() + seconds
    with space.make(lambda: socket.socket(socket.AF_INET, kind)) as ours:
        ours.setblocking(False)
        try:
            ours.connect((target.address, target.port))
        except BlockingIOError:
            pass
        except OSError:  # no route
            return ""
        # The caller sends first: passt of 2023 loses the answer to a caller that sends nothing.
        if kind == socket.SOCK_STREAM and select.select([], [ours], [], seconds)[1]:
            with contextlib.suppress(OSError):
                ours.send(b"who\n")
        while (left := deadline - time.monotonic()) > 0:
            try:
                if kind == socket.SOCK_DGRAM:
                    ours.send(b"who\n")
                if select.select([ours], [], [], min(left, 0.5))[0]:
                    return ours.recv(2048).decode(errors="replace").strip()
            except OSError:
                if kind == socket.SOCK_STREAM:  # refused, or no route
                    return ""
                select.select([], [], [], 0.1)
    return ""


def _tool(space: Namespace, words: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(
        space.argv(["busybox", *words]), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout


def _mac(said: str) -> str:
    """The hardware address in the reply that busybox's arping prints."""
    found = _REPLY.search(said)
    return found[1].lower() if found else ""
