"""One NIC on one netdev, up and proved to be what was asked: the thing that a cell measures."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qtrace.errors import CellError, LabError, MissingPrerequisite
from qtrace.lab.guest import Guest, GuestSpec, start_guest
from qtrace.lab.image import ensure_image
from qtrace.lab.kernel import Kernel, ensure_kernel
from qtrace.lab.netns import Counters, Namespace, open_namespace, read_counters
from qtrace.lab.tap import Tap, open_tap
from qtrace.proc import vhost_worker

__all__ = ["NETDEVS", "Network", "boot_network", "open_network"]

NETDEVS = ("user", "tap")
# Of one guest that boots beside four others on two processors that are themselves emulated.
_BOOT_TIMEOUT = 300.0  # seconds
_MAC = "52:54:00:12:34:56"
_SLIRP_MAC = "52:55:0a:00:02:02"  # what libslirp answers for 10.0.2.2
_PORT_TO_GUEST = 9009  # hostfwd of the user netdev: the namespace's loopback -> the guest's port 9


@dataclass(frozen=True, slots=True)
class Network:
    """`host_addr` is what the guest calls the host; `guest_port(9)` is what the host calls the guest."""

    nic: str
    netdev: str
    datapath: str
    guest: Guest
    space: Namespace
    tap: Tap | None
    host_addr: str
    guest_addr: str
    host_mac: str

    def wait_until_up(self) -> None:
        """Wait for the guest, give it its address, and make sure that it is what was asked for.

        Raises CellError for a combination that is not what QEMU set up, LabError when it does not come up.
        """
        self.guest.connect(time.monotonic() + _BOOT_TIMEOUT)
        _configure(self)
        self.verify()

    @property
    def sink(self) -> tuple[str, int]:
        """Where datagrams for the guest's UDP port 9 are sent from inside the namespace."""
        return (self.guest_addr, 9) if self.tap else ("127.0.0.1", _PORT_TO_GUEST)

    def device_counters(self) -> dict[str, tuple[str, Counters]]:
        """Side (`tap`, `guest`) -> (device, counters), each as its own kernel keeps them.

        What the guest sends, its own device sends and the host's tap receives.
        """
        tables = {"guest": ("eth0", self.guest.sh("cat /proc/net/dev"))}
        if self.tap:
            tables["tap"] = (self.tap.name, self._devices())
        sides = {}
        for side, (device, table) in tables.items():
            counters = read_counters(table, device)
            if counters is None:
                raise LabError(f"the {side} has no {device}")
            sides[side] = (device, counters)
        return sides

    def settle(self, deadline: float = 1.0) -> None:
        """Wait until the tap's counters rest: a connection's last frames come after its client has ended."""
        until, before = time.monotonic() + deadline, ""
        while self.tap and (now := self._devices()) != before and time.monotonic() < until:
            before = now
            time.sleep(0.05)

    def _devices(self) -> str:
        """The namespace's /proc/net/dev: QEMU lives in it. Raises LabError once QEMU is gone."""
        try:
            return Path(f"/proc/{self.guest.pid}/net/dev").read_text()
        except OSError as exc:
            raise LabError(self.guest.epitaph() or f"the guest's namespace: {exc.strerror}") from exc

    def verify(self) -> None:
        """Raise CellError unless QEMU's own account and the kernel's agree with what was asked."""
        account = str(self.guest.qmp("human-monitor-command", **{"command-line": "info network"}))
        if f"type={self.netdev}" not in account.replace("type=tap,", "type=tap "):
            raise CellError(f"asked for the netdev {self.netdev}, QEMU says: {' '.join(account.split())}")
        model = self.guest.qmp("qom-get", path="/machine/peripheral/nic0", property="type")
        if model != self.nic:
            raise CellError(f"asked for the NIC {self.nic}, QEMU says {model}")
        worker = vhost_worker(self.guest.pid)
        if (self.datapath == "vhost-net") != (worker is not None):
            raise CellError(
                f"asked for the datapath {self.datapath}, but "
                + ("no vhost worker of this QEMU runs" if worker is None else "a vhost worker runs")
            )


@contextlib.contextmanager
def open_network(
    nic: str, netdev: str, datapath: str = "qemu", accelerator: str = "tcg", kernel: Kernel | None = None
) -> Iterator[Network]:
    """As `boot_network`, and waits until the guest is up."""
    with boot_network(nic, netdev, datapath, accelerator, kernel) as network:
        network.wait_until_up()
        yield network


@contextlib.contextmanager
def boot_network(
    nic: str, netdev: str, datapath: str = "qemu", accelerator: str = "tcg", kernel: Kernel | None = None
) -> Iterator[Network]:
    """Namespace, tap and a guest that begins to boot; all gone when the block ends.

    The guest is of use after `Network.wait_until_up`, so that several can boot at once. Raises CellError
    for a combination that cannot be, LabError when something cannot be made, MissingPrerequisite for
    what the machine lacks.
    """
    if os.geteuid() != 0:
        raise MissingPrerequisite("network namespaces and taps need root", hint="run it with sudo")
    if netdev not in NETDEVS:
        raise CellError(f"the lab has no netdev {netdev!r} (it has: {', '.join(NETDEVS)})")
    if datapath == "vhost-net" and (netdev, nic.startswith("virtio-")) != ("tap", True):
        raise CellError(f"vhost-net needs a virtio NIC on a tap, not {nic} on {netdev}")
    kernel = kernel or ensure_kernel()
    image = ensure_image(kernel)
    with contextlib.ExitStack() as stack:
        space = stack.enter_context(open_namespace())
        tap: Tap | None = None
        fds: tuple[int, ...] = ()
        if netdev == "tap":
            guest_addr, host_addr = "192.168.76.2", "192.168.76.1"
            tap = stack.enter_context(open_tap(space, f"{host_addr}/24", guest_addr, _MAC))
            fds = (tap.fd,)
            option = f"tap,id=net0,fd={tap.fd}"
            if datapath == "vhost-net":
                fds += (stack.enter_context(_vhost_fd()),)
                option += f",vhost=on,vhostfd={fds[1]}"
        else:
            guest_addr, host_addr = "10.0.2.15", "10.0.2.2"
            option = f"user,id=net0,ipv6=off,hostfwd=udp:127.0.0.1:{_PORT_TO_GUEST}-:9"
        spec = GuestSpec(nic, option, _MAC, kernel.image, image, accelerator, pass_fds=fds)
        guest = stack.enter_context(start_guest(spec, space))
        host_mac = _mac_of(space, tap.name) if tap else _SLIRP_MAC
        yield Network(nic, netdev, datapath, guest, space, tap, host_addr, guest_addr, host_mac)


def _configure(network: Network) -> None:
    """Address the guest's NIC and make sure that frames pass both ways."""
    guest = network.guest
    guest.sh(
        f"ip addr add {network.guest_addr}/24 dev eth0 && ip link set eth0 up && "
        f"/bin/ip neigh replace {network.host_addr} lladdr {network.host_mac} dev eth0 nud permanent",
        timeout=60,
    )
    # libslirp learns the guest's address from its ARP; a ping also waits for the link.
    guest.sh(
        f"for n in 1 2 3 4 5 6 7 8 9 10; do "
        f"arping -q -c 1 -w 2 -I eth0 {network.host_addr} && ping -q -c 1 -W 2 {network.host_addr} "
        f">/dev/null && exit 0; done; exit 1",
        timeout=120,
    )


def _mac_of(space: Namespace, device: str) -> str:
    return str(json.loads(space.ip("-json", "link", "show", "dev", device))[0]["address"])


@contextlib.contextmanager
def _vhost_fd() -> Iterator[int]:
    """/dev/vhost-net opened as root and handed to the unprivileged QEMU."""
    try:
        descriptor = os.open("/dev/vhost-net", os.O_RDWR)
    except OSError as exc:
        raise MissingPrerequisite(
            f"/dev/vhost-net: {exc.strerror}", hint="run: modprobe vhost_net, or use --venue vm"
        ) from exc
    try:
        yield descriptor
    finally:
        os.close(descriptor)
