"""For every rule a line that it finds something in, the words that it says, and one that is nearly the same
and right. `host` says which host the lines are read on; `mended` is a part of the line that must be proved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["LINES", "Lines"]

_TAP = "-netdev tap,id=t,ifname=tap0,script=no,downscript=no"
_VIRTIO = " -device virtio-net-pci,netdev=t,id=n"
_USER = "-netdev user,id=t"
_SWITCH = "-chardev socket,id=c,path=/s -netdev vhost-user,id=t,chardev=c -device virtio-net-pci,netdev=t"
_MEMORY = "-object memory-backend-file,id=m,size=1G,mem-path=/x"


@dataclass(frozen=True)
class Lines:
    """`host`: files of the host under test, path -> content; `release`: the one that is meant,
    `earlier` or `newer`, where another says something else."""

    wrong: str
    words: str
    right: str
    mended: str = ""
    host: dict[str, str] = field(default_factory=dict)
    program: str = "qemu-system-x86_64"
    release: str = ""


_HOST = {"dev/vhost-net": "", "sys/class/net/tap0/mtu": "1500", "sys/class/net/tap0/flags": "0x1003"}
_JUMBO = {**_HOST, "sys/class/net/tap0/mtu": "9000"}
_DOWN = {**_HOST, "sys/class/net/tap0/flags": "0x1002"}
LINES: dict[str, list[Lines]] = {
    "no-peer": [
        Lines("-netdev user,id=a", "no NIC uses this netdev", "-netdev user,id=a -device e1000,netdev=a"),
        Lines(
            "-nodefaults -device e1000", "its frames go nowhere", "-netdev user,id=a -device e1000,netdev=a"
        ),
    ],
    "hub-without-nic": [
        Lines("-net user", "no NIC is on this hub", "-net nic -net user"),
        Lines(
            "-M versatilepb -net user,hostfwd=tcp:127.0.0.1:5022-:22",
            "the machine's own smc91c111",
            "-M versatilepb -nic user",
            "-nic user,hostfwd=tcp:127.0.0.1:5022-:22",
            program="qemu-system-arm",
        ),
    ],
    "hub-without-host": [Lines("-net nic", "leads out", "-net nic -net user")],
    "hub": [
        Lines("-net nic -net user", "-nic makes none", "-nic user"),
        Lines("-net nic -net nic -net user", "see each other's frames", "-nic user -nic user"),
    ],
    "not-created": [Lines("-M none -nic user", "will not have it", "-nic user")],
    "mac-twice": [
        Lines(
            "-device e1000,mac=52:54:00:00:00:01 -nic user,mac=52:54:00:00:00:01",
            "2 times",
            "-device e1000,mac=52:54:00:00:00:01 -nic user,mac=52:54:00:00:00:02",
        )
    ],
    "mac-multicast": [
        Lines(
            "-device e1000,mac=03:54:00:00:00:01",
            "a multicast address",
            "-device e1000,mac=02:54:00:00:00:01",
        )
    ],
    "script": [
        Lines("-nic tap,model=virtio", "/etc/qemu-ifup", "-nic tap,model=virtio,script=no,downscript=no"),
        Lines(
            "-nic tap,script=/bridge,downscript=no", "512 is exit code 2", "-nic tap,script=no,downscript=no"
        ),
    ],
    "ifname": [Lines("-nic tap,ifname=tap9", "no interface 'tap9'", "-nic tap,ifname=tap0", host=_HOST)],
    "vhost": [
        Lines(
            _TAP + ",vhost=on -device e1000,netdev=t",
            "a virtio NIC only",
            _TAP + ",vhost=on" + _VIRTIO,
            "-netdev tap,id=t,ifname=tap0,script=no,downscript=no -device e1000",
            _HOST,
        )
    ],
    "vhost-missing": [
        Lines(
            _TAP + ",vhost=on" + _VIRTIO, "/dev/vhost-net does not exist", _TAP + ",vhost=off" + _VIRTIO, _TAP
        ),
        Lines(
            _TAP + ",vhostforce=on" + _VIRTIO, "refuses", _TAP + ",vhost=off,vhostforce=on" + _VIRTIO, _TAP
        ),
    ],
    "helper": [
        Lines("-nic bridge,br=br9", "no bridge br9", "-nic user"),
        Lines("-nic bridge", "set-uid root and allow", "-nic tap"),
    ],
    "descriptor": [
        Lines("-nic tap,fd=3", "pass this descriptor", "-nic tap"),
        Lines("-nic tap,fd=3", "cannot be known from the line", "-nic user"),
        Lines(
            "-net nic,model=virtio -net tap,fd=3 3<>/dev/tap2",
            "/dev/tap2, a macvtap's",
            "-net nic,model=virtio -net tap,ifname=tap2",
        ),
        Lines("-nic tap,fd=3 3<>/tmp/file", "not a tap: QEMU fails", "-nic tap,fd=3 3<>/dev/tap2"),
    ],
    "passthrough": [
        Lines("-device vfio-pci,host=01:00.0 -nic none", "hands a device", "-device virtio-rng-pci -nic none")
    ],
    "built": [Lines("-nic af-xdp,ifname=lo", "built with it", "-nic user", release="newer")],
    "deprecated": [
        Lines("-nic user,restrict", "restrict=on", "-nic user,restrict=on"),
        Lines("-nic user,ip=10.0.2.0", "ip=", "-nic user,net=10.0.2.0/24"),
    ],
    "vendor": [Lines("-id 9 -nic user", "Proxmox's own", "-nic user")],
    "unknown": [
        Lines("-id 9 -nic user -newer x", "unknown to the indexed release", "-id 9 -nic user"),
    ],
    "remark": [
        Lines("-global rtl8139.mac=52:54:00:00:00:09 -nic user", "changes nothing", "-nic user"),
        Lines("-readconfig /etc/shadow -nic user", "was not read", "-nic user"),
    ],
    "mtu-untold": [
        Lines(_TAP + _VIRTIO, "host_mtu=9000", _TAP + _VIRTIO + ",host_mtu=9000", "host_mtu=9000", _JUMBO),
        Lines("-nic tap,model=virtio", "host_mtu=N tells it", _TAP + _VIRTIO, host=_HOST),
    ],
    "mtu-too-large": [
        Lines(
            _TAP + _VIRTIO + ",host_mtu=9000",
            "its larger frames are lost",
            _TAP + _VIRTIO + ",host_mtu=1500",
            "host_mtu=1500",
            _HOST,
        )
    ],
    "sndbuf": [
        Lines(
            """-netdev '{"type":"tap","fd":"3","sndbuf":1600,"id":"t"}' -device """
            """'{"driver":"virtio-net-pci","netdev":"t","host_mtu":9000}'""",
            "less than one frame of the MTU 9000",
            _TAP + ",sndbuf=1600" + _VIRTIO + ",host_mtu=1500",
            '{"type":"tap","fd":"3","id":"t"}',
        )
    ],
    "sandbox": [
        Lines(
            "-sandbox on,obsolete=deny,spawn=deny -netdev tap,id=t" + _VIRTIO,
            "no script can run",
            "-sandbox on,obsolete=deny,spawn=deny " + _TAP + _VIRTIO,
            "script=no,downscript=no",
        ),
        Lines("-sandbox on,spawn=deny -nic bridge", "no helper", "-sandbox on,spawn=allow -nic bridge"),
    ],
    "far-end": [
        Lines(
            "-netdev socket,id=t,udp=127.0.0.1:10001,localaddr=127.0.0.1:10002 -device e1000,netdev=t",
            "udp=127.0.0.1:10002,localaddr=127.0.0.1:10001",
            "-netdev socket,id=t,mcast=230.0.0.1:10001 -device e1000,netdev=t",
        )
    ],
    "port-twice": [
        Lines(
            "-netdev socket,id=a,listen=127.0.0.1:1234 -netdev socket,id=b,listen=:1234",
            "QEMU ends with 'in use'",
            "-netdev socket,id=a,listen=127.0.0.1:1234 -netdev socket,id=b,listen=:1235",
        )
    ],
    "one-queue": [
        Lines(
            _USER + _VIRTIO + ",mq=on", "one pair of queues all the same", _USER + _VIRTIO, _USER + _VIRTIO
        ),
        Lines(
            "-netdev tap,id=t,fds=3,vhost=on,vhostfds=4" + _VIRTIO + ",mq=on",
            "as many pairs as fds=",
            "-netdev tap,id=t,fds=3:5,vhost=on,vhostfds=4:6" + _VIRTIO + ",mq=on",
        ),
    ],
    "queues-unused": [
        Lines(
            _TAP + ",queues=4" + _VIRTIO,
            "without mq=on the guest uses one",
            _TAP + ",queues=4" + _VIRTIO + ",mq=on",
            "netdev=t,id=n,mq=on",
            _HOST,
        )
    ],
    "vectors": [
        Lines(
            _TAP + ",queues=4" + _VIRTIO + ",mq=on,vectors=6",
            "2 x 4 pairs + 2 is 10",
            _TAP + ",queues=4" + _VIRTIO + ",mq=on,vectors=10",
            "netdev=t,id=n,mq=on",
            _HOST,
        ),
        Lines(_USER + _VIRTIO + ",vectors=0", "no MSI-X", _USER + _VIRTIO + ",vectors=4", _USER + _VIRTIO),
    ],
    "shared-memory": [
        Lines(
            "-m 2G " + _SWITCH,
            "a memory-backend",
            "-nic user",
            "memory-backend-memfd,id=mem,size=2G,share=on",
        ),
        Lines(
            f"-m 1G {_MEMORY} -numa node,memdev=m {_SWITCH}",
            "share=on is missing",
            f"-m 1G {_MEMORY},share=on -numa node,memdev=m {_SWITCH}",
            "mem-path=/x,share=on",
        ),
    ],
    "switch-end": [
        Lines(_SWITCH, "must listen on /s before", "-nic user"),
        Lines(_SWITCH.replace("/s", "/s,server=on"), "waits for the switch", "-nic user"),
    ],
    "fdset": [
        Lines(
            "-add-fd set=0,fd=30 -netdev "
            """'{"type":"vhost-vdpa","vhostdev":"/dev/fdset/0","id":"t"}' -device virtio-net-pci,netdev=t""",
            "is descriptor 30, which -add-fd passes; its frames go to the device",
            "-netdev vhost-vdpa,vhostdev=/dev/vhost-vdpa-0,id=t -device virtio-net-pci,netdev=t",
        )
    ],
    "forward-open": [
        Lines(
            "-nic user,hostfwd=tcp::2222-:22",
            "hostfwd=tcp:127.0.0.1:2222-:22 keeps it at home",
            "-nic user,hostfwd=tcp:127.0.0.1:2222-:22",
        )
    ],
    "forward-outside": [
        Lines(
            "-nic user,hostfwd=tcp:127.0.0.1:2222-192.168.1.1:22",
            "outside net=10.0.2.0/24",
            "-nic user,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22",
            "net=192.168.1.0/24",
        )
    ],
    "transmit-ring": [
        Lines(
            _SWITCH.replace("vhost-user,id=t,chardev=c", "user,id=t") + ",tx_queue_size=1024",
            "here it is 256",
            _SWITCH + ",tx_queue_size=1024",
            release="earlier",
        )
    ],
    "link-speed": [
        Lines(_TAP + _VIRTIO, "speed=10000,duplex=full", _USER + _VIRTIO, "speed=10000,duplex=full", _HOST)
    ],
    "vnet-hdr-off": [
        Lines(_TAP + ",vnet_hdr=off" + _VIRTIO, "ends every offload", _TAP + _VIRTIO, _TAP, _HOST)
    ],
    "offload-unheard": [
        Lines(_USER + _VIRTIO + ",guest_tso4=on", "carries no vnet_hdr", _TAP + _VIRTIO + ",guest_tso4=on")
    ],
    "failover": [
        Lines(
            _USER + _VIRTIO + ",failover=on -device virtio-net-pci,failover_pair_id=n",
            "needs an id=",
            _USER + _VIRTIO + ",failover=on -device virtio-net-pci,id=p,failover_pair_id=n",
        ),
        Lines(
            _USER + _VIRTIO + " -device virtio-net-pci,id=p,failover_pair_id=n",
            "no NIC of that id has failover=on",
            _USER + _VIRTIO,
        ),
        Lines(_USER + _VIRTIO + ",failover=on", "may be plugged in later", _USER + _VIRTIO),
    ],
    "ioeventfd-off": [
        Lines(_USER + _VIRTIO + ",ioeventfd=off", "cannot be used", _USER + _VIRTIO + ",ioeventfd=on", _USER)
    ],
    "buffers-unmerged": [
        Lines(_USER + _VIRTIO + ",mrg_rxbuf=off", "one by one", _USER + _VIRTIO + ",mrg_rxbuf=on", _USER)
    ],
    "queue-size-unheeded": [
        Lines(
            _USER + _VIRTIO + ",rx_queue_size=512",
            "1024 entries long",
            _USER + _VIRTIO,
            _USER + _VIRTIO,
            release="newer",
        )
    ],
    "short-frames": [
        Lines(
            "-netdev socket,id=t,connect=127.0.0.1:1 -device pcnet,netdev=t",
            "does not fill them up for socket",
            "-netdev tap,id=t,ifname=tap0,script=no -device pcnet,netdev=t",
            release="newer",
        ),
        Lines(
            "-net nic,model=ne2k_pci -net user -net vde",
            "does not fill them up for vde",
            "-net nic,model=e1000 -net user -net vde",
            release="newer",
        ),
    ],
    "tap-down": [
        Lines(
            _TAP + _VIRTIO, "ip link set tap0 up", "-nic tap,ifname=tap0,script=/up,downscript=no", host=_DOWN
        )
    ],
}
