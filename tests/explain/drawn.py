"""Lines drawn by lot from the options of a network, right and wrong: what nobody thought of."""

from __future__ import annotations

from random import Random

__all__ = ["draw"]

_IDS = ("a", "b", "n0", "x")
_ADDRESSES = ("2", "3", "4", "0x6", "4.1", "1f")
# Not those that QEMU itself fails an assertion with, or that only one release has.
_MODELS = (
    *("e1000", "rtl8139", "virtio-net-pci", "virtio-net", "pcnet", "ne2k_pci", "ne2k_isa", "e1000e"),
    *("i82551", "vmxnet3", "tulip", "virtio-net-pci-transitional", "usb-net", "e1000-82545em"),
    "virtio-net-device",
)
_BACKENDS = {
    "user": ("hostname=h", "restrict=on", "net=10.0.3.0/24", "ipv4=off", "dns=10.0.2.9", "bogus=1"),
    "socket": ("mcast=230.0.0.1:1234", "listen=127.0.0.1:0", "udp=127.0.0.1:1", "speed=1"),
    "stream": ("server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=0", "server=on"),
    "hubport": ("hubid=0", "hubid=1", "hubid=x"),
}
_OTHERS = (
    *("-nodefaults", "-M q35", "-M pc", "-M q35,usb=on", "-usb", "-vga none", "-M microvm"),
    *("-device VGA", "-device qemu-xhci", "-device virtio-rng-pci", "-device virtio-serial-pci,addr=4"),
    *("-device pci-bridge,id=br,chassis_nr=1", "-device e1000,bus=br,addr=1", "-M isapc -cpu 486"),
    *("-global e1000.mac=52:54:00:12:34:60", "-global virtio-net-pci.mq=on"),
)


def draw(seed: int, count: int) -> list[str]:
    """So many lines, the same for the same seed."""
    lot = Random(seed)
    makers = (_netdev, _netdev, _device, _device, _nic, _net, _other)
    return [" ".join(lot.choice(makers)(lot) for _ in range(lot.randint(1, 5))) for _ in range(count)]


def _some(lot: Random, *choices: tuple[float, str]) -> list[str]:
    return [text for chance, text in choices if lot.random() < chance]


def _mac(lot: Random) -> str:
    return f"52:54:00:12:34:{lot.randint(0x50, 0x70):02x}"


def _netdev(lot: Random) -> str:
    kind = lot.choice(("user", *_BACKENDS))
    return ",".join(
        [f"-netdev {kind},id={lot.choice(_IDS)}", *_some(lot, (0.8, lot.choice(_BACKENDS[kind])))]
    )


def _device(lot: Random) -> str:
    extra = lot.choice(("romfile=", "bootindex=1", "bogus=1", "vectors=3", "mq=on", "multifunction=on"))
    parts = _some(
        lot,
        (0.6, f"netdev={lot.choice(_IDS)}"),
        (0.25, f"mac={_mac(lot)}"),
        (0.25, f"id={lot.choice(_IDS)}"),
        (0.3, f"addr={lot.choice(_ADDRESSES)}"),
        (0.1, f"bus={lot.choice(('pci.0', 'pcie.0', 'isa.0'))}"),
        (0.15, extra),
    )
    return ",".join([f"-device {lot.choice(_MODELS)}", *parts])


def _nic(lot: Random) -> str:
    kind = lot.choice(("user", "user", "hubport,hubid=0", "socket,mcast=230.0.0.1:1", "none"))
    parts = _some(
        lot,
        (0.5, f"model={lot.choice((*_MODELS, 'virtio'))}"),
        (0.2, f"mac={_mac(lot)}"),
        (0.2, f"id={lot.choice(_IDS)}"),
    )
    return ",".join([f"-nic {kind}", *parts])


def _net(lot: Random) -> str:
    if lot.random() < 0.5:
        return f"-net {lot.choice(('user', 'none', 'socket,mcast=230.0.0.1:1'))}"
    parts = _some(
        lot,
        (0.5, f"model={lot.choice((*_MODELS, 'virtio'))}"),
        (0.2, f"netdev={lot.choice(_IDS)}"),
        (0.2, f"macaddr={_mac(lot)}"),
        (0.2, f"addr={lot.choice(_ADDRESSES)}"),
    )
    return ",".join(["-net nic", *parts])


def _other(lot: Random) -> str:
    return lot.choice(_OTHERS)
