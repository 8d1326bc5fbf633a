"""A live guest that is looked at while something is done to it: faults.py makes its faults with it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qtrace.diagnosis.live_observation import observe
from qtrace.diagnosis.observation import Observation
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.clock import counter_words
from qtrace.lab.guest.guest import CMDLINE, GuestSpec, start_guest
from qtrace.lab.guest.guest_image import ensure_image
from qtrace.lab.guest.kernel import ensure_kernel
from qtrace.lab.host.netns import open_namespace
from qtrace.lab.link.connection import Network
from qtrace.lab.link.link import MAC, Link, open_link
from qtrace.lab.link.tap import open_queues, open_tap, set_up
from qtrace.measure.effort import Effort
from qtrace.measure.qemu_process import QemuProcess
from qtrace.store.index import Index

__all__ = ["Act", "Bed", "Form", "LateError", "hurry", "open_bed"]

# Done to a guest from the moment when counting has begun, in a thread of its own.
Act = Callable[["Bed"], object]
_STARTED = "counting in"


@dataclass(frozen=True)
class Form:
    """A guest: its NIC with properties, its netdev, and how its tap was made. With `iommu`, words for its
    kernel, it is a q35 with a virtual IOMMU."""

    nic: str = "virtio-net-pci"
    netdev: str = "tap"
    form: str = ""
    hub: bool = False
    header: bool = True
    queues: int = 1
    vhost: bool = False
    iommu: str = ""

    @property
    def model(self) -> str:
        return self.nic.partition(",")[0]

    @property
    def datapath(self) -> str:
        return "vhost-net" if self.vhost else "qemu"

    def __str__(self) -> str:
        parts = [self.nic.replace(",", " "), self.netdev, self.form, "hub" * self.hub]
        parts += ["vhost=on" * self.vhost, self.iommu]
        parts += ["no header" * (not self.header), f"{self.queues} queues" * (self.queues > 1)]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Bed:
    form: Form
    network: Network
    index: Index

    def look(
        self, act: Act, seconds: float = 3.0, effort: Effort | None = None, *, within: bool = False
    ) -> Observation:
        """Look for so long while `act` is done; it must end by itself. Where it must end `within` the window,
        raises LateError if it does not: the machine was too busy."""
        process = QemuProcess(self.network.guest.pid, index=self.index)
        begun, failed = threading.Event(), []
        took = 0.0

        def during() -> None:
            nonlocal took
            begun.wait()  # programs are compiled first; set at the latest when that has failed
            began = time.monotonic()
            try:
                act(self)
            except BaseException as exc:
                failed.append(exc)
            took = time.monotonic() - began

        thread = threading.Thread(target=during)
        thread.start()
        try:
            found = observe(process, process.measured(), seconds, _Signal(begun), effort=effort)
        finally:
            begun.set()
            thread.join()
        if failed:
            raise failed[0]
        if within and took > seconds:
            raise LateError(f"{took:.1f} s for what had {seconds:.1f} s")
        return found


class LateError(Exception):
    """What was to be done within a window took longer."""


class _Signal:
    """Progress that tells when counting begins."""

    def __init__(self, begun: threading.Event) -> None:
        self._begun = begun

    def step(self, text: str) -> None:
        if text.startswith(_STARTED):
            self._begun.set()

    def done(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


@contextlib.contextmanager
def open_bed(form: Form, index: Index) -> Iterator[Bed]:
    """The guest, up; gone when the block ends."""
    kernel, accelerator = ensure_kernel(), choose_accelerator()
    image = ensure_image(kernel, nic=form.model)
    with open_namespace() as space, contextlib.ExitStack() as stack:
        if form.queues > 1:
            fds = tuple(stack.enter_context(open_queues(space, "tap0", form.queues)))
            set_up(space, "tap0", "192.168.76.1/24", "192.168.76.2", MAC)
            option = f"tap,id=net0,fds={':'.join(map(str, fds))}"
            link = _link(option, fds)
        elif not form.header:
            tap = stack.enter_context(open_tap(space, "tap0", header=False))
            set_up(space, "tap0", "192.168.76.1/24", "192.168.76.2", MAC)
            link = _link(f"tap,id=net0,fd={tap.fd}", (tap.fd,))
        else:
            link = stack.enter_context(open_link(space, form.netdev, form.datapath, form.form))
        if link.tap:
            mac = space.ip("-o", "link", "show", "dev", link.tap).partition("link/ether ")[2].split()[0]
            link = replace(link, host_mac=mac)
        if form.hub:
            link = link.behind_hub()
        nic, processors = form.nic, max(1, form.queues)
        spec = GuestSpec(
            nic,
            link.option,
            MAC,
            kernel.image,
            image,
            accelerator,
            processors=processors,
            pass_fds=link.fds,
            more=(*link.more, *_iommu(form, accelerator)),
        )
        with start_guest(spec, space) as guest:
            network = Network(form.model, form.netdev, form.datapath, guest, space, link)
            network.wait_until_up()
            hurry(guest.pid)
            yield Bed(form, network, index)


def _iommu(form: Form, accelerator: str) -> list[str]:
    """Of words that are given twice QEMU takes the last."""
    if not form.iommu:
        return []
    words = f"{CMDLINE}{counter_words(accelerator)} {form.iommu}"
    return ["-machine", "q35", "-device", "intel-iommu,device-iotlb=on", "-append", words]


def hurry(pid: int, niceness: int = -15) -> None:
    """Have the guest's threads go before what else this machine does, which `why` would rightly name."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)


def _link(option: str, fds: tuple[int, ...]) -> Link:
    return Link(option, "192.168.76.1", "192.168.76.2", "", ("192.168.76.2", 9), "tap0", fds)
