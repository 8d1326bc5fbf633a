"""Faults that limit a stream, take processors, or are of the host's side."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from bed import Act, Bed, Form, hurry
from exact import to_mac
from fault import MANY, NO_OFFLOADS, SECONDS, USER, fault
from frames import frames_from
from passing import chat, sent_by, set_link, stream

from qtrace.lab.guest.guest import QEMU_UID
from qtrace.lab.link.link import MAC
from qtrace.lab.workload import tcp
from qtrace.lab.workload.server import serve
from qtrace.model import Direction
from qtrace.trace.qemu.thread_calls import ThreadCalls

# What limits a stream.


@fault(
    "tap-without-header",
    "a virtio NIC on a tap without vnet_hdr",
    "an e1000 on one, which needs none",
    Form(header=False),
    near_form=Form("e1000", header=False),
)
def no_header(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield lambda bed: stream(bed, Direction.TX) if full else stream(bed, Direction.TX, rate="4M")


@fault("offloads-declined", "csum=off on the line, a stream from the guest", "a slow stream", NO_OFFLOADS)
def not_offered(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield lambda bed: stream(bed, Direction.TX, rate="" if full else "1M")


@fault("offloads-declined", "guest_csum=off on the line, a stream to the guest", "a slow stream", NO_OFFLOADS)
def not_offered_rx(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield lambda bed: stream(bed, Direction.RX, rate="" if full else "1M")


@fault(
    "small-segments",
    "the guest's stack sends one segment a frame (gso_max_segs 1)",
    "three segments a frame",
)
def cut_in_guest(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def give(number: int) -> None:
        bed.network.guest.sh(f"/bin/ip link set dev eth0 gso_max_segs {number}")

    give(1 if full else 3)
    try:
        yield lambda bed: stream(bed, Direction.TX)
    finally:
        give(65535)


@fault("small-segments", "the tap takes one segment a frame (gso_max_segs 1)", "three segments a frame")
def cut_at_tap(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def give(number: int) -> None:
        bed.network.space.ip("link", "set", "dev", "tap0", "gso_max_segs", str(number))

    give(1 if full else 3)
    try:
        yield lambda bed: stream(bed, Direction.RX)
    finally:
        give(65535)


@fault("hub-between", "a virtio NIC behind a hub, a stream from it", "little traffic", Form(hub=True))
def behind_hub(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield lambda bed: stream(bed, Direction.TX) if full else chat(bed)


# Processors.


@fault(
    "thread-at-limit",
    "the guest computes all the time, and talks",
    "it computes half of the time",
    seconds=4.0,
)
def busy_guest(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def act(bed: Bed) -> None:
        seconds = 8 if full else 2
        bed.network.guest.sh(f"timeout {seconds} sh -c 'while :; do :; done' >/dev/null 2>&1 & true")
        chat(bed, 60 if full else 30)

    yield act


@fault(
    "processors-short",
    "QEMU shares one processor of the host with three programs that compute",
    "they have the lowest priority",
    seconds=4.0,
)
def crowded(bed: Bed, full: bool) -> Generator[Act, None, None]:
    pid = bed.network.guest.pid
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    allowed = {thread: os.sched_getaffinity(thread) for thread in threads}
    words = [sys.executable, "-c", "while True: pass"]
    with contextlib.ExitStack() as stack:
        if full:
            hurry(pid, 0)
            stack.callback(hurry, pid)
        for thread in threads:
            os.sched_setaffinity(thread, {0})
            stack.callback(os.sched_setaffinity, thread, allowed[thread])
        for _ in range(3):
            hog = subprocess.Popen(words)
            stack.callback(hog.wait)
            stack.callback(hog.kill)
            os.sched_setaffinity(hog.pid, {0})
            if not full:
                os.setpriority(os.PRIO_PROCESS, hog.pid, 19)

        def act(bed: Bed) -> None:
            bed.network.guest.sh("timeout 3 sh -c 'while :; do :; done' >/dev/null 2>&1 & true")
            chat(bed, 40)

        yield act


@fault(
    "kicks-trapped",
    "ioeventfd=off, and many kicks",
    "ten kicks a second",
    Form("virtio-net-pci,ioeventfd=off"),
)
def trapped(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield lambda bed: sent_by(bed, SECONDS, 1_000_000) if full else chat(bed)


@fault("notified-each-frame", "frames one by one, thousands a second", "two hundred a second", Form("e1000"))
def notified(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield lambda bed: sent_by(bed, SECONDS, 150_000 if full else 5_000_000)


@fault(
    "frame-each-call",
    "small datagrams to the guest by libslirp, as fast as they go",
    "two hundred a second",
    USER,
)
def each_call(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def act(bed: Bed) -> None:
        network, until = bed.network, time.monotonic() + SECONDS
        with network.space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as link:
            while time.monotonic() < until:
                for _ in range(100 if full else 1):
                    link.sendto(bytes(20), network.link.sink)
                time.sleep(0.0 if full else 0.005)

    yield act


@fault(
    "tracing-dear",
    "every function is probed without a budget, under a flood",
    "the same with the default budget",
    USER,
)
def dear(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield lambda bed: sent_by(bed, SECONDS, 0 if full else 5_000_000)


@fault("queues-unbalanced", "two queues, all frames on the first", "two thirds of them", MANY)
def unbalanced(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def act(bed: Bed) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for queue, count in ((0, 1000), (1, 0 if full else 500)):
                if count:
                    frames_from(bed.network, "eth0", count, queue)

    yield act


# The host's side.


@fault(
    "calls-fail",
    "the other end of a dgram socket has gone",
    "five frames meet it so",
    Form(netdev="dgram", form="unix"),
    last=True,
)
def nobody_there(bed: Bed, full: bool) -> Generator[Act, None, None]:
    helper = bed.network.link.helper
    assert helper is not None

    def act(bed: Bed) -> None:
        if not full:
            chat(bed, 15)
        os.kill(helper.pid, signal.SIGKILL)
        sent = 300 if full else 5
        frames_from(bed.network, "eth0", sent)

    yield act


@fault(
    # net_socket_fd_init makes its descriptor non-blocking; what net/stream.c accepts blocks: thread-blocked.
    "back-end-full",
    "the other end of a stream does not read",
    "it reads",
    Form(netdev="socket", form="fd-stream"),
)
def not_read(bed: Bed, full: bool) -> Generator[Act, None, None]:
    helper = bed.network.link.helper
    assert helper is not None
    if full:
        os.kill(helper.pid, signal.SIGSTOP)
    try:
        # Its kernel goes on where its driver has no room: pktgen would wait for ever.
        yield lambda bed: _ping_much(bed) if full else chat(bed)
    finally:
        os.kill(helper.pid, signal.SIGCONT)


def _ping_much(bed: Bed) -> None:
    """It goes on by itself: the guest's own send blocks until the other end reads again."""
    bed.network.guest.sh(
        f"ping -q -s 1400 -i 0.002 -c 800 -w 3 {bed.network.link.host_addr} >/dev/null 2>&1 </dev/null & true"
    )


@fault(
    "thread-blocked",
    "the other end of a stream that QEMU has accepted does not read",
    "it stops reading for a third of the window",
    Form(netdev="stream", form="unix"),
)
def blocked(bed: Bed, full: bool) -> Generator[Act, None, None]:
    helper = bed.network.link.helper
    assert helper is not None
    process = helper.pid

    def act(bed: Bed) -> None:
        os.kill(process, signal.SIGSTOP)
        _ping_much(bed)
        _await_blocked(bed)
        time.sleep(SECONDS / 3)
        os.kill(process, signal.SIGCONT)
        chat(bed, 5)

    if full:
        os.kill(process, signal.SIGSTOP)
        _ping_much(bed)
        _await_blocked(bed)
    try:
        # Nothing can be asked of the guest while QEMU stands still.
        yield (lambda bed: None) if full else act
    finally:
        os.kill(process, signal.SIGCONT)


def _await_blocked(bed: Bed) -> None:
    """Until QEMU's main thread stands in a call that sends."""
    pid, until = bed.network.guest.pid, time.monotonic() + 10
    while time.monotonic() < until:
        calls = ThreadCalls(pid)
        calls.look()
        if any(row["main"] and row["call"] == "sendmsg" for row in calls.to_json()["rows"]):
            return
        time.sleep(0.02)
    raise TimeoutError("QEMU's main thread has not blocked within 10 s")


@fault(
    "resent-segments",
    "a stream to the guest whose link is down for three seconds",
    "its link is down for a fifth of a second",
    USER,
    seconds=8.0,
)
def lossy(bed: Bed, full: bool) -> Generator[Act, None, None]:
    def act(bed: Bed) -> None:
        network = bed.network
        with serve(network.space, tcp.SERVER, tcp.PORT):
            network.guest.sh(
                f"iperf3 -c {network.link.host_addr} -p {tcp.PORT} -t 6 -R -b 20M >/dev/null 2>&1 & true"
            )
            time.sleep(1.5)
            set_link(bed, "nic0", False)
            time.sleep(3.0 if full else 0.2)
            set_link(bed, "nic0", True)
            time.sleep(3.5)

    yield act


@fault(
    "descriptors-short",
    "the guest opens more connections than QEMU has descriptors for",
    "half of the limit is in use",
    USER,
)
def few_descriptors(bed: Bed, full: bool) -> Generator[Act, None, None]:
    pid, network = bed.network.guest.pid, bed.network
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The lowest free number counts, and not how many there are: QEMU's are nearly without gaps.
    limit = used + 10 if full else 2 * used + 40
    listener = network.space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    with listener:
        listener.bind(("127.0.0.1", 7070))
        listener.listen(128)
        _limit(pid, limit)
        try:
            yield lambda bed: bed.network.guest.sh(
                "for n in $(seq 40); do (sleep 3 | nc 10.0.2.2 7070) >/dev/null 2>&1 & done; sleep 2",
                timeout=60,
            )
        finally:
            _limit(pid, most)


def _limit(pid: int, number: int) -> None:
    """As the guest's own user: another's limits are set with a capability alone that containers lack."""
    words = ["setpriv", f"--reuid={QEMU_UID}", f"--regid={QEMU_UID}", "--clear-groups"]
    subprocess.run([*words, "prlimit", f"--pid={pid}", f"--nofile={number}:"], check=True)


@fault(
    "receiver-off",
    "the guest's virtio driver is unbound, and frames come",
    "bound, and unbound after",
    last=True,
)
def unbound(bed: Bed, full: bool) -> Generator[Act, None, None]:
    if full:
        bed.network.guest.sh(
            'for d in /sys/class/net/eth0/device; do basename "$(readlink -f $d)"; done > /tmp/nic; '
            "cat /tmp/nic > /sys/bus/virtio/drivers/virtio_net/unbind"
        )
    yield lambda bed: to_mac(bed.network, MAC, 20) if full else chat(bed)


@fault(
    "vhost-idle",
    "vhost=on with an e1000, whose frames the kernel cannot take",
    "vhost=on with a virtio NIC, which uses it",
    Form("e1000", vhost=True),
    near_form=Form(vhost=True),
    seconds=6.0,
)
def no_use_of_vhost(bed: Bed, full: bool) -> Generator[Act, None, None]:
    yield chat


_IOMMU_NIC = "virtio-net-pci,disable-legacy=on,iommu_platform=on,ats=on"


@fault(
    "iommu-misses",
    "vhost behind a virtual IOMMU by which the guest's driver maps each buffer",
    "the guest's IOMMU lets its devices through (iommu=pt)",
    Form(_IOMMU_NIC, vhost=True, iommu="intel_iommu=on iommu.strict=1"),
    near_form=Form(_IOMMU_NIC, vhost=True, iommu="intel_iommu=on iommu=pt"),
    seconds=10.0,
)
def mapped_each_time(bed: Bed, full: bool) -> Generator[Act, None, None]:
    address = bed.network.link.host_addr
    yield lambda bed: bed.network.guest.try_sh(f"ping -q -c 400 -i 0.01 -W 1 {address}", timeout=120)
