"""Runs in the lab machine: 1009 frames each way over a tap with or without vhost, and through vhost-user's
switch where it is installed; every count as JSON."""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from frames import frames_from, frames_to_guest, frames_to_host, tap_counters

from qtrace.campaign.brief import Brief
from qtrace.errors import TraceError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import open_network
from qtrace.lab.link.tap import open_queues
from qtrace.lab.link.vhost_user import PROGRAM as SWITCH
from qtrace.measure.attacher import Attacher
from qtrace.measure.instrument_registry import instruments, open_full_engine
from qtrace.measure.instruments.frame_samples import FrameSamples
from qtrace.model import VHOST_USER, Cell
from qtrace.probes import families
from qtrace.proc import vhost_workers
from qtrace.store.index import open_index
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.bpf.calibrate import ASSUMED
from qtrace.trace.bpf.kernel_calls import KPROBE
from qtrace.trace.bpf.links import UPROBE_MULTI, links_available
from qtrace.trace.budget.overhead_budget import Budget
from qtrace.trace.budget.regulator import Regulator, Window
from qtrace.trace.session.engine import Engine

FRAMES = 1009
# Name in the answer -> netdev and datapath.
BACK_ENDS = {
    "vhost-net": ("tap", "vhost-net"),
    "qemu": ("tap", "qemu"),
    "macvtap": ("tap.macvtap", "vhost-net"),
    VHOST_USER: (VHOST_USER, VHOST_USER),
}
HELD = 17  # fewer than the ring of the guest's NIC has
# Device in the guest, netdev, queue, frames.
QUEUES = (("eth0", "net0", 0, 17), ("eth1", "net1", 0, 31), ("eth1", "net1", 1, 47))
MARKED_FROM = 300  # bytes of the shortest marked frame
# The test's own probes: the length of the frame that a worker takes, those of all heads that it gives back.
LENGTHS = """
#include <uapi/linux/ptrace.h>
struct call {
    u64 when;
    u32 count;
    u32 given;
    u64 heads[80];
};
BPF_ARRAY(number, u64, 1);
BPF_ARRAY(calls, struct call, 4096);

static struct call *next(void) {
    u32 zero = 0, at;
    u64 *so_far = number.lookup(&zero);
    if (!so_far)
        return 0;
    at = *so_far;
    struct call *call = calls.lookup(&at);
    if (call) {
        *so_far += 1;
        call->when = bpf_ktime_get_ns();
    }
    return call;
}

int on_taken(struct pt_regs *ctx) {
    struct call *call = next();
    if (call) {
        call->count = 1;
        call->heads[0] = PT_REGS_PARM3(ctx) << 32;
    }
    return 0;
}

int on_given(struct pt_regs *ctx) {
    struct call *call = next();
    if (call) {
        call->given = 1;
        call->count = PT_REGS_PARM4(ctx);
        bpf_probe_read_kernel(call->heads, sizeof(call->heads), (void *)PT_REGS_PARM3(ctx));
    }
    return 0;
}
"""


def main() -> None:
    brief = Brief.load(Path(sys.argv[1]))
    answer: dict[str, object] = {}
    with open_full_engine() as engine:
        load_all(engine)
        answer["instead"] = [
            refusal(engine, "qtrace_has_none", ("qtrace_has_none_either", "tun_sendmsg")),
            refusal(engine, "qtrace_has_none"),
        ]
        attacher = Attacher(engine, open_index(brief.indexes[""]))
        for name, (netdev, datapath) in BACK_ENDS.items():
            if netdev == VHOST_USER and not shutil.which(SWITCH):
                continue
            cell = Cell("virtio-net-pci", netdev, datapath, None, "rr")
            paths = [*brief.paths_of(cell), *brief.other_datapath(cell)]
            two = 2 if name == "vhost-net" else 1
            with (
                open_network(
                    cell.nic, cell.netdev, datapath, choose_accelerator(), processors=two
                ) as network,
                attacher.attach(network.guest.pid, paths) as session,
            ):
                windows = {}
                for way, send in (("tx", frames_to_host), ("rx", frames_to_guest)):
                    before = network.device_counters()
                    session.start()
                    sent = send(network, FRAMES)
                    _arrived(network, before, way)
                    _settle(session)
                    session.stop()
                    after = network.device_counters()
                    moved = {
                        side: {key: after[side][1][key] - old for key, old in counters.items()}
                        for side, (_, counters) in before.items()
                    }
                    windows[way] = {"sent": sent, "moved": moved, **session.read().tables()}
                answer[name] = {
                    "worker": next(iter(vhost_workers(network.guest.pid)), None),
                    "windows": windows,
                }
                if datapath == VHOST_USER:
                    answer["paused"] = paused(network)
                if name == "vhost-net":
                    answer["limited"] = limited(network, session)
                    answer["queues"] = queues(network, session)
                    answer["marked"] = marked(network, session)
    print(json.dumps(answer))


def paused(network) -> object:  # type: ignore[no-untyped-def]
    """What the tap counts of frames from the guest while the switch is paused, and after that; and the
    processor time of the paused switch, in ticks."""

    def passed() -> int:
        return tap_counters(network)["rx_packets"]  # the guest's agent waits for its own sending

    def ticks() -> int:
        words = Path(f"/proc/{network.link.helper.pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])

    network.pause()
    before, spent = passed(), ticks()
    sending = threading.Thread(target=frames_to_host, args=(network, HELD))
    sending.start()  # ends when the switch has given the frames back
    sending.join(2)
    found = {"sending": sending.is_alive(), "through": passed() - before, "ticks": ticks() - spent}
    network.resume()
    sending.join()
    until = time.monotonic() + 20
    while passed() - before < HELD and time.monotonic() < until:
        time.sleep(0.1)
    return {**found, "passed": passed() - before}


def marked(network, session) -> object:  # type: ignore[no-untyped-def]
    """Frames to the guest, each longer than the one before, every one sampled; and what two probes of the
    test's own saw of their lengths: those that the worker took, and those that it gave back, call by call."""
    from bcc import BPF

    sampler = session.add(FrameSamples(1, most=10**6))
    own = BPF(text=LENGTHS)
    try:
        own.attach_kprobe(event="tun_recvmsg", fn_name="on_taken")
        own.attach_kprobe(event="vhost_add_used_and_signal_n", fn_name="on_given")
        session.start()
        sent = frames_to_guest(network, FRAMES, size=MARKED_FROM, at_once=64, grow=1)
        _settle(session)
        session.stop()
        number = int(own[b"number"][0].value)
        calls = [own[b"calls"][at] for at in range(number)]
    finally:
        own.cleanup()
    probes = [stage.probe for stage in session.read().stages]
    hits = [
        {
            "frame": hit.began,
            "stage": probes[hit.slot].role,
            "when": hit.when,
            "frames": hit.frames,
            "size": hit.size,
        }
        for hit in sampler.hits()
        if probes[hit.slot].direction.value == "rx"
    ]
    return {
        "sent": sent,
        "calls": [
            {
                "when": int(call.when),
                "given": bool(call.given),
                "lengths": [int(head) >> 32 for head in call.heads[: call.count]],
            }
            for call in calls
        ],
        "hits": hits,
        **session.read().tables(),
    }


def limited(network, session) -> object:  # type: ignore[no-untyped-def]
    """Frames to the host within far too small a budget: what was counted in windows, and in pauses."""
    frames = {True: 0, False: 0}

    def keep(window: Window) -> None:
        for slot, stage in enumerate(window.counted.stages):
            if stage.probe.function == "tun_sendmsg":
                frames[window.on] += window.counted.total(slot).frames

    regulator = Regulator(session, Budget(0.001), ASSUMED, keep)
    session.start()
    regulator.begin()
    sending = threading.Thread(target=frames_to_host, args=(network, 10 * FRAMES))
    sending.start()
    while sending.is_alive():
        regulator.run(0.1)
    sending.join()
    session.stop()
    regulator.end()
    seen = session.read()
    session.resume()
    return {"pauses": regulator.pauses, "on": frames[True], "off": frames[False], "hits": seen.hits}


def load_all(engine: Engine) -> None:
    """Have this kernel's verifier, which is stricter than newer ones, accept every program at a function,
    loaded as it is for its place: a program that is loaded for another place cannot be linked there."""
    every = [*families(), *(entry.family for entry in instruments().values())]
    points = [point for family in every for point in family.points]
    attached = Attachments(engine._module, os.getpid())
    places = {(name, kind) for point in points for kind, name in point.programs if kind != "raw_tracepoint"}
    for name, kind in sorted(places):
        linked = kind.startswith("u") and links_available()
        attached._load(name, KPROBE, UPROBE_MULTI if linked else 0)


def refusal(engine: Engine, function: str, instead: tuple[str, ...] = ()) -> str:
    """Why no probe can be put on this function of the kernel, nor on one of the others; empty if it can."""
    attached = Attachments(engine._module, os.getpid())
    try:
        attached.kprobe("on_vhost_signal", function, instead=instead)
    except TraceError as exc:
        return str(exc)
    finally:
        attached.close()
    return ""


def queues(network, session) -> object:  # type: ignore[no-untyped-def]
    """One more NIC with two queues, each with a worker of its own: what every worker carried."""
    with contextlib.ExitStack() as stack:
        taps = stack.enter_context(open_queues(network.space, "queued", 2))
        for number, tap in enumerate(taps):
            vhost = os.open("/dev/vhost-net", os.O_RDWR)
            stack.callback(os.close, vhost)
            network.guest.hand_over(f"tap{number}", tap)
            network.guest.hand_over(f"vhost{number}", vhost)
        handed = {"fds": "tap0:tap1", "vhost": True, "vhostfds": "vhost0:vhost1"}
        network.guest.qmp("netdev_add", type="tap", id="net1", **handed)
        more = {"mq": True, "vectors": 6, "romfile": ""}
        network.guest.qmp("device_add", driver="virtio-net-pci", netdev="net1", id="nic1", **more)
        network.space.ip("link", "set", "queued", "up")
        network.guest.sh(
            "echo 1 >/sys/bus/pci/rescan; tries=0; until ip link set eth1 up 2>/dev/null || "
            "[ $((tries += 1)) -gt 200 ]; do usleep 100000; done; ip link set eth1 up",
            timeout=60,
        )
        session.start()
        sent = [
            [name, queue, frames_from(network, device, frames, queue)]
            for device, name, queue, frames in QUEUES
        ]
        _settle(session)
        session.stop()
        return {"sent": sent, "workers": len(vhost_workers(network.guest.pid)), **session.read().tables()}


def _arrived(network, before, way) -> None:  # type: ignore[no-untyped-def]
    """Until both ends have counted every frame: what the guest sends, the tap receives."""
    keys = {"guest": f"{way}_packets", "tap": "rx_packets" if way == "tx" else "tx_packets"}
    until = time.monotonic() + 60
    while time.monotonic() < until:
        now = network.device_counters()
        if all(now[side][1][key] >= before[side][1][key] + FRAMES for side, key in keys.items()):
            return
        time.sleep(0.1)


def _settle(session) -> None:  # type: ignore[no-untyped-def]
    until, last = time.monotonic() + 20, None
    while (now := session.read().counts) != last and time.monotonic() < until:
        last = now
        time.sleep(0.3)


if __name__ == "__main__":
    main()
