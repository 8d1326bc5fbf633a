"""One NIC on one netdev, up and checked against the request: the subject of a cell's measurements."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from qtrace.errors import CellError, LabError, MissingPrerequisite
from qtrace.lab.guest.guest import Guest, GuestSpec, start_guest
from qtrace.lab.guest.guest_image import CLIENTS, ensure_image
from qtrace.lab.guest.kernel import Kernel, ensure_kernel
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.lab.host.netns import Counters, Namespace, open_namespace, read_counters
from qtrace.lab.link.link import BACK_ENDS, NETDEVS, Link, open_link
from qtrace.lab.link.shaping import guest_programs, needed_modules, shape
from qtrace.model import PLAIN, Setting
from qtrace.proc import vhost_workers

__all__ = ["NETDEVS", "Network", "boot_network", "open_network"]

# For one guest that boots beside four others on two processors that are themselves emulated.
_BOOT_TIMEOUT = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Network:
    """A guest with its NIC plugged into `link`, both in `space`."""

    nic: str
    netdev: str
    datapath: str
    guest: Guest
    space: Namespace
    link: Link
    setting: Setting = PLAIN
    other: Guest | None = None

    @property
    def peer(self) -> Namespace | Guest:
        """Where servers run: the host's namespace, a neighbour's, or a second guest."""
        return self.other or self.link.far or self.space

    def wait_until_up(self) -> None:
        """Wait for the guest, give it its address, and check that NIC, netdev and datapath are as requested;
        then make its setting.

        Raises CellError if QEMU set up another combination, LabError if the guest does not come up.
        """
        deadline = time.monotonic() + _BOOT_TIMEOUT
        self.guest.connect(deadline)
        if self.other and self.link.other:
            self.other.connect(deadline)
            _give_address(self.nic, self.other, self.link.other)
        _configure(self)
        self.verify()
        shape(self.setting, self.guest, self.link.devices(self.space))
        if self.other:  # delay and loss are made once, at the first guest
            shape(replace(self.setting, rtt=PLAIN.rtt, loss=PLAIN.loss), self.other, ())

    def pause(self) -> None:
        """Stop a back end that polls: it would take a processor from whatever is measured meanwhile."""
        for link in (self.link, self.link.other):
            if link and link.polls and link.helper:
                link.helper.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        for link in (self.link, self.link.other):
            if link and link.polls and link.helper:
                link.helper.resume()

    def device_counters(self) -> dict[str, tuple[str, Counters]]:
        """Side (`tap`, `guest`) -> (device, counters), each from its own kernel.

        A frame from the guest is sent by its own device and received by the host's tap.
        """
        tables = {"guest": ("eth0", self.guest.sh("cat /proc/net/dev"))}
        if self.link.tap:
            tables["tap"] = (self.link.tap, self._devices())
        sides = {}
        for side, (device, table) in tables.items():
            counters = read_counters(table, device)
            if counters is None:
                raise LabError(f"the {side} has no {device}")
            sides[side] = (device, counters)
        return sides

    def settle(self, deadline: float = 1.0) -> None:
        """Wait until the tap's counters stop: a connection's last frames arrive after its client has
        ended."""
        until, before = time.monotonic() + deadline, ""
        while self.link.tap and (now := self._devices()) != before and time.monotonic() < until:
            before = now
            time.sleep(0.05)

    def _devices(self) -> str:
        """/proc/net/dev of QEMU's namespace. Raises LabError after QEMU has ended."""
        try:
            return Path(f"/proc/{self.guest.pid}/net/dev").read_text()
        except OSError as exc:
            raise LabError(self.guest.epitaph() or f"the guest's namespace: {exc.strerror}") from exc

    def verify(self) -> None:
        """Raise CellError if the state of QEMU or of the kernel differs from the request.

        Raises LabError if the program that carries frames between QEMU and the host has ended.
        """
        if self.link.helper:
            self.link.helper.check()
        account = str(self.guest.qmp("human-monitor-command", **{"command-line": "info network"}))
        behind = self.netdev.removeprefix("hubport.")
        hub = "hub 0" in account or behind == self.netdev
        if not hub or f"type={behind.partition('.')[0]}" not in account.replace("type=tap,", "type=tap "):
            raise CellError(f"asked for the netdev {self.netdev}, QEMU says: {' '.join(account.split())}")
        model = self.guest.qmp("qom-get", path="/machine/peripheral/nic0", property="type")
        if model != self.nic:
            raise CellError(f"asked for the NIC {self.nic}, QEMU says {model}")
        worker = next(iter(vhost_workers(self.guest.pid)), None)
        if (self.datapath == "vhost-net") != (worker is not None):
            raise CellError(
                f"asked for the datapath {self.datapath}, but "
                + ("no vhost worker of this QEMU runs" if worker is None else "a vhost worker runs")
            )


@contextlib.contextmanager
def open_network(
    nic: str,
    netdev: str,
    datapath: str = "qemu",
    accelerator: str = "tcg",
    kernel: Kernel | None = None,
    *,
    form: str = "",
    processors: int = 1,
    hub: bool = False,
    more: tuple[str, ...] = (),
    programs: tuple[str, ...] = CLIENTS,
    setting: Setting = PLAIN,
    qemu: QemuProgram | None = None,
) -> Iterator[Network]:
    """As `boot_network`, but waits until the guest is up."""
    with boot_network(
        *(nic, netdev, datapath, accelerator, kernel),
        form=form,
        processors=processors,
        hub=hub,
        more=more,
        programs=programs,
        setting=setting,
        qemu=qemu,
    ) as network:
        network.wait_until_up()
        yield network


@contextlib.contextmanager
def boot_network(
    nic: str,
    netdev: str,
    datapath: str = "qemu",
    accelerator: str = "tcg",
    kernel: Kernel | None = None,
    *,
    form: str = "",
    processors: int = 1,
    hub: bool = False,
    more: tuple[str, ...] = (),
    programs: tuple[str, ...] = CLIENTS,
    setting: Setting = PLAIN,
    qemu: QemuProgram | None = None,
) -> Iterator[Network]:
    """A namespace, a link (see `open_link`) and a guest that boots; all are removed when the block ends.

    `netdev` is one of `NETDEVS` or of `BACK_ENDS`, which name form and hub too. With `hub`, QEMU's hub stands
    between NIC and netdev; `more` are further arguments of QEMU, `programs` the programs in the guest; `qemu`
    is the QEMU, None for the installed one. The guest is ready after `Network.wait_until_up`, so that several
    can boot at the same time. Raises CellError for an impossible combination, LabError if the set-up fails,
    MissingPrerequisite for anything that the machine lacks.
    """
    if os.geteuid() != 0:
        raise MissingPrerequisite("network namespaces and taps need root", hint="run it with sudo")
    if netdev not in BACK_ENDS:
        raise CellError(f"the lab has no netdev {netdev!r} (it has: {', '.join(BACK_ENDS)})")
    named = netdev
    hub, netdev = hub or netdev.startswith("hubport."), netdev.removeprefix("hubport.")
    if "." in netdev:
        netdev, _, form = netdev.partition(".")
    if datapath == "vhost-net" and (netdev, nic.startswith("virtio-")) != ("tap", True):
        raise CellError(f"vhost-net needs a virtio NIC on a tap, not {nic} on {netdev}")
    kernel = kernel or ensure_kernel()
    tools = guest_programs(programs, setting)
    image = ensure_image(kernel, nic=nic, programs=tools, modules=needed_modules(setting))
    with open_namespace() as space, open_link(space, netdev, datapath, form, setting) as link:
        if hub:
            link = link.behind_hub()
        with ExitStack() as guests:
            started = []
            for place, end in ((space, link), (link.far, link.other)):
                if place and end:
                    spec = GuestSpec(
                        nic,
                        end.option,
                        end.mac,
                        kernel.image,
                        image,
                        accelerator,
                        processors=max(processors, setting.queues),
                        queues=setting.queues,
                        pass_fds=end.fds,
                        more=(*end.more, *more),
                        qemu=qemu,
                    )
                    started.append(guests.enter_context(start_guest(spec, place)))
            yield Network(nic, named, datapath, started[0], space, link, setting, *started[1:])


def _configure(network: Network) -> None:
    """Give the guest's NIC its address and check that frames pass in both directions."""
    guest, link = network.guest, network.link
    _give_address(network.nic, guest, link)
    # libslirp learns the guest's address from its ARP; a ping also waits for the link.
    try:
        guest.sh(
            f"for n in 1 2 3 4 5 6 7 8 9 10; do "
            f"arping -q -c 1 -w 2 -I eth0 {link.host_addr} && ping -q -c 1 -W 2 {link.host_addr} "
            f">/dev/null && exit 0; done; exit 1",
            timeout=120,
        )
    except LabError as exc:
        refused = int(guest.sh("cat /sys/class/net/eth0/statistics/rx_errors"))
        raise LabError(
            f"no frame passes between the guest's {network.nic} and the host: the host does not answer"
            + (f", and the guest's driver refused {refused} frames as damaged" if refused else ""),
            hint=f"qtrace explain says why this QEMU's {network.nic} may refuse what its back end sends",
        ) from exc


def _give_address(nic: str, guest: Guest, link: Link) -> None:
    if nic.startswith("usb-"):  # appears after the boot, with a name from its driver
        guest.sh(
            "for n in $(seq 400); do [ -e /sys/class/net/eth0 ] && exit 0; "
            "[ -e /sys/class/net/usb0 ] && ip link set usb0 name eth0; usleep 50000; done; exit 1",
            timeout=120,
        )
    guest.sh(
        f"ip addr add {link.guest_addr}/24 dev eth0 && ip link set eth0 up && "
        f"/bin/ip neigh replace {link.host_addr} lladdr {link.host_mac} dev eth0 nud permanent",
        timeout=120,
    )
