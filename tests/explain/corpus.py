"""Command lines, written for this: every option form, every back end, defaults and mistakes.

`refused` is (what QEMU says, what explain says), each as a part of the message. `needs` names what QEMU wants
to find: `tun` a device node, `bridge` a bridge and its permission, `vhost` /dev/vhost-net. `only_here` is the
reason why QEMU of this host cannot be asked.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CORPUS", "FILES", "Case"]


@dataclass(frozen=True)
class Case:
    line: str
    refused: tuple[str, str] | None = None
    needs: str = ""
    only_here: str = ""
    taken: str = ""  # the release that takes the line all the same: installed or newer


def ok(*lines: str, needs: str = "") -> list[Case]:
    return [Case(line, needs=needs) for line in lines]


def no(line: str, qemu: str, ours: str, taken: str = "") -> Case:
    return Case(line, (qemu, ours), taken=taken)


DEFAULTS = ok(
    "",
    "-m 64",
    "-nodefaults",
    "-nodefaults -nic user",
    "-M q35",
    "-M pc",
    "-M isapc -cpu 486",
    "-M none",
    "-M microvm",
    "-machine q35,accel=tcg",
    "-machine type=pc,usb=on",
    "-M pc-q35-2.11",
    "-M pc-i440fx-2.10",
    "-net none",
    "-nic none",
    "-nic none -nic none",
    "-net none -device e1000",
    "-device e1000",
    "-device rtl8139,mac=52:54:00:aa:bb:cc",
    "-device virtio-serial-pci",
    "--nodefaults --nic user",
)
NIC = ok(
    "-nic user",
    "-nic user,model=virtio",
    "-nic user,model=virtio-net-pci",
    "-nic user,model=rtl8139,mac=52:54:00:11:22:33",
    "-nic user,model=ne2k_isa",
    "-nic user,model=ne2k_isa -M isapc -cpu 486",
    "-nic user,model=e1000e -M q35",
    "-nic user,id=mine",
    "-nic user -nic user",
    "-nic user,model=pcnet -nic socket,mcast=230.0.0.1:1234",
    "-nic user,ipv6=off,model=e1000,mac=52:54:98:76:54:32",
    "-nic hostname=fred",
    "-nic model=tulip",
    "-nic ''",
    "-nic user,mac=52-54-00-12-34-99",
    "-nic user,mac=52:4:0:1:2:3",
    "-nic user,mac=7",
    "-nic hubport,hubid=2,model=virtio",
    "-nic vde,sock=null://",
    "-nic user,restrict=on",
    "-M microvm -nic user",
    "-M none -nic user",
    "-nic user,id=a -nic user,id=b -nic user,id=c -nic user,id=d",
    "-nic user,mac=52:54:00:12:34:56 -nic user",
    "-nic user,model=i82559er",
    "-nic user,model=vmxnet3",
)
NET = ok(
    "-net nic -net user",
    "-net nic,model=e1000 -net user,hostname=x",
    "-net nic -net nic -net user",
    "-net user",
    "-net nic",
    "-net nic,macaddr=52:54:00:00:00:01 -net user",
    "-net nic,model=virtio,vectors=0 -net user",
    "-net nic,netdev=n -netdev user,id=n",
    "-net nic,netdev=n,model=rtl8139 -netdev user,id=n -net nic -net user",
    "-net nic,id=front -net user,id=back",
    "-net nic -net socket,listen=127.0.0.1:1200 -net user",
    "-net nic -net none",
    "-net nic,addr=5 -net user",
    "-M q35 -net nic -net user",
    "-M none -net nic -net user",
    "-net nic -net user -device virtio-net-pci,netdev=x -netdev user,id=x",
    "-net user,restrict",
    "-net nic -net vde,sock=null://",
)
PAIRS = ok(
    "-device virtio-serial-pci -netdev user,id=a -device e1000,netdev=a",
    "-device e1000,netdev=a -device virtio-serial-pci -netdev user,id=a",
    "-netdev user,id=n0 -device e1000,netdev=n0",
    "-device e1000,netdev=n0 -netdev user,id=n0",
    "-netdev user,id=n0 -device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:70,id=nic",
    "-netdev user,id=n0 -device virtio-net,netdev=n0",
    "-netdev user,id=n0 -device e1000-82540em,netdev=n0",
    "-netdev user,id=n0 -device e1000-82545em,netdev=n0",
    "-netdev user,id=n0 -device driver=pcnet,netdev=n0",
    "-netdev user,id=n0",
    "-netdev user,id=a -netdev user,id=b -device e1000,netdev=b -device e1000,netdev=a",
    "-netdev user,id=a -device virtio-net-pci-transitional,netdev=a",
    "-netdev user,id=a -device virtio-net-pci-non-transitional,netdev=a",
    "-M microvm -netdev user,id=a -device virtio-net-device,netdev=a",
    "-usb -netdev user,id=a -device usb-net,netdev=a",
    "-device qemu-xhci -netdev user,id=a -device usb-net,netdev=a",
    "-M pc,usb=on -device usb-net,netdev=a,id=u -netdev user,id=a",
    "-netdev user,id=a -device ne2k_isa,netdev=a,iobase=0x320,irq=5",
    "-M q35 -netdev user,id=a -device e1000e,netdev=a,bus=pcie.0,addr=0x9",
    "-netdev user,id=a -device virtio-net-pci,netdev=a,rx_queue_size=1024,mrg_rxbuf=off",
    "-device virtio-net-pci,disable-modern=on,disable-legacy=off -nodefaults",
    "-device e1000,mac=52:54:00:12:34:57 -device e1000 -device e1000",
    "-device rtl8139 -device rtl8139,id=second -device rtl8139",
    "-nic user -netdev user,id=n -device e1000,netdev=n",
    "-netdev user,id=a.b-c_d -device e1000,netdev=a.b-c_d",
    "-netdev user,id=a,hostname=x,,y -device e1000,netdev=a",
    "-netdev type=user,id=a -device e1000,netdev=a",
    "-netdev id=a,type=user -device e1000,netdev=a",
)
BACKENDS = ok(
    "-netdev user,id=u,net=192.168.76.0/24,dhcpstart=192.168.76.9 -device e1000,netdev=u",
    "-netdev user,id=u,hostfwd=tcp::0-:22,hostfwd=udp:127.0.0.1:0-10.0.2.15:53 -device e1000,netdev=u",
    "-netdev user,id=u,hostfwd=tcp:127.0.0.1:5555-:22 -device e1000,netdev=u",
    "-netdev user,id=u,guestfwd=tcp:10.0.2.100:7-cmd:cat -device e1000,netdev=u",
    "-netdev user,id=u,ipv6-net=fd00::/64,ipv6-host=fd00::9 -device e1000,netdev=u",
    "-netdev user,id=u,ipv4=on -device e1000,netdev=u",
    "-netdev user,id=u,ipv6=on -device e1000,netdev=u",
    "-netdev user,id=u,restrict=yes,tftp=/nowhere,bootfile=x,dnssearch=a.example,dnssearch=b.example",
    "-netdev user,id=u,net=10.9.0.0,host=10.1.1.1,dns=10.1.1.2,dhcpstart=10.1.1.3",
    "-netdev user,id=u,ip=10.3.0.0",
    "-netdev user,id=u,hostname=a,hostname=b",
    "-netdev socket,id=s,listen=:1234 -device e1000,netdev=s",
    "-netdev socket,id=s,listen=127.0.0.1:1235 -device e1000,netdev=s",
    "-netdev socket,id=s,connect=127.0.0.1:9 -device e1000,netdev=s",
    "-netdev socket,id=s,mcast=230.0.0.1:1234 -device e1000,netdev=s",
    "-netdev socket,id=s,mcast=230.0.0.1:1234,localaddr=127.0.0.1 -device e1000,netdev=s",
    "-netdev socket,id=s,udp=127.0.0.1:1236,localaddr=127.0.0.1:1237 -device e1000,netdev=s",
    "-netdev stream,id=s,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=1300 -device e1000,netdev=s",
    "-netdev stream,id=s,server=off,addr.type=unix,addr.path=nobody -device e1000,netdev=s",
    "-netdev stream,id=s,addr.type=inet,addr.host=127.0.0.1,addr.port=9,addr.ipv6=off",
    "-netdev dgram,id=d,local.type=inet,local.host=127.0.0.1,local.port=1400,"
    "remote.type=inet,remote.host=127.0.0.1,remote.port=1401 -device e1000,netdev=d",
    "-netdev dgram,id=d,remote.type=inet,remote.host=230.0.0.1,remote.port=1402 -device e1000,netdev=d",
    "-netdev dgram,id=d,local.type=unix,local.path=a,remote.type=unix,remote.path=b -device e1000,netdev=d",
    "-netdev l2tpv3,id=l,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=1701,dstport=1702,txsession=1",
    "-netdev l2tpv3,id=l,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=1701,dstport=1702,txsession=0x10,"
    "rxcookie=1,txcookie=2,offset=4 -device e1000,netdev=l",
    "-netdev vde,id=v,sock=null:// -device e1000,netdev=v",
    "-netdev vde,id=v,sock=null://,port=3,mode=0700 -device e1000,netdev=v",
)
HUBS = ok(
    "-netdev hubport,id=p,hubid=0 -device e1000,netdev=p",
    "-netdev hubport,id=p,hubid=5 -netdev hubport,id=q,hubid=5 -device e1000,netdev=p -device pcnet,netdev=q",
    "-netdev user,id=u -netdev hubport,id=p,hubid=1,netdev=u -netdev hubport,id=q,hubid=1 "
    "-device e1000,netdev=q",
    "-netdev hubport,id=p,hubid=0 -net nic -net user -device e1000,netdev=p",
    "-netdev hubport,id=p,hubid=1",
    "-nic hubport,hubid=1,id=p",
    "-netdev hubport,id=p,hubid=-1 -device e1000,netdev=p",
)
JSON = ok(
    """-netdev '{"type":"user","id":"n"}' -device e1000,netdev=n""",
    """-netdev '{"type":"user","id":"n","restrict":true,"dnssearch":[{"str":"a"}]}' -device e1000,netdev=n""",
    """-netdev user,id=n -device '{"driver":"e1000","netdev":"n","mac":"52:54:00:00:00:09","id":"j"}'""",
    """-device '{"driver":"virtio-net-pci","mq":false}' -device e1000""",
    """-netdev '{"type":"stream","id":"s","server":true,"addr":{"type":"inet","host":"127.1","port":"1"}}'""",
    """-netdev '{"type":"hubport","id":"p","hubid":2}' -device e1000,netdev=p""",
    """-netdev user,id=a -netdev '{"type":"user","id":"b"}' -device e1000,netdev=b -device e1000,netdev=a""",
)
TAPS = ok(
    "-netdev tap,id=t,script=no,downscript=no -device e1000,netdev=t",
    "-netdev tap,id=t,ifname=tap7,script=no,downscript=no -device virtio-net-pci,netdev=t",
    "-netdev tap,id=t,ifname=tapq%d,script=no,downscript=no,vhost=off -device virtio-net-pci,netdev=t",
    "-netdev tap,id=t,script=no,downscript=no,queues=2 -device virtio-net-pci,netdev=t,mq=on,id=n",
    "-nic tap,ifname=tap8,script=no,downscript=no,model=virtio,mac=52:54:00:01:02:03",
    "-net nic,model=e1000,netdev=foo -netdev tap,ifname=tap0,script=no,downscript=no,id=foo",
    "-net nic -net tap,ifname=tap0,script=no,downscript=no",
    "-netdev tap,id=t,script=no,downscript=no,sndbuf=64k,vnet_hdr=off -device rtl8139,netdev=t",
    "-netdev tap,id=t,script=,downscript= -device e1000,netdev=t",
    needs="tun",
)
BRIDGES = ok(
    "-netdev bridge,id=b -device e1000,netdev=b",
    "-netdev bridge,id=b,br=br1 -device virtio-net-pci,netdev=b",
    "-nic bridge,br=br0,model=virtio",
    "-net nic -net bridge",
    "-netdev tap,id=t,br=br1,helper=/usr/lib/qemu/qemu-bridge-helper -device e1000,netdev=t",
    needs="bridge",
)
SET = ok(
    "-netdev user,id=n -set netdev.n.hostname=fred -device e1000,netdev=n",
    "-netdev user,id=n -device e1000,id=d -set device.d.netdev=n -set device.d.mac=52:54:00:01:01:01",
    "-nic user,id=n -set nic.n.model=rtl8139",
    "-net nic -net user,id=u -set net.u.restrict=on",
    "-readconfig net.cfg -device e1000,netdev=fromfile",
    "-readconfig nic.cfg",
)
MISTAKES = [
    no("-netdev user", "Parameter 'id' is missing", "has no id"),
    no("-netdev id=x", "Parameter 'type' is missing", "which back end"),
    no("-netdev nothing,id=x", "does not accept value 'nothing'", "no back end 'nothing'"),
    no("-netdev none,id=x", "not compiled into this binary", "none is no back end"),
    no("-netdev nic,id=x", "not compiled into this binary", "nic is no back end"),
    no("-netdev netmap,id=x,ifname=y", "not compiled into this binary", "not in this QEMU"),
    no("-netdev vmnet-host,id=x", "does not accept value", "no back end 'vmnet-host'"),
    no("-netdev user,id=x -netdev user,id=x", "Duplicate ID 'x' for netdev", "two -netdev with the id 'x'"),
    no("-netdev user,id=x -nic user,id=x", "Duplicate ID 'x'", "'x' is taken"),
    no("-netdev user,id=x -net user,id=x", "Duplicate ID 'x'", "'x' is taken"),
    no("-netdev user,id=1x", "Parameter 'id' expects an identifier", "no identifier"),
    no("-netdev user,id=x,hostnam=y", "Invalid parameter 'hostnam'", "no option 'hostnam'"),
    no("-netdev user,id=x,restrict=maybe", "Parameter 'restrict' expects 'on' or 'off'", "on or off"),
    no("-netdev user,id=x,ipv6-prefixlen=many", "expects an int64 value", "whole number"),
    no("-netdev user,id=x,ipv6-net=fd00::/x", "expects a number", "no number"),
    no("-netdev user,id=x,ipv4=off,ipv6=off", "IPv4 and IPv6 disabled", "both off"),
    no("-netdev user,id=x,ipv4=off,net=10.0.0.0/8", "IPv4 disabled but", "IPv4 is off"),
    no("-netdev user,id=x,ipv6=off,ipv6-host=fec0::1", "IPv6 disabled but", "IPv6 is off"),
    no("-netdev user,id=x,net=10.0.0.0/33", "must be in range 4-32", "4 to 32 bits"),
    no("-netdev user,id=x,net=hello", "Failed to parse netmask", "no IPv4 network"),
    no("-netdev user,id=x,host=192.168.1.1", "Host doesn't belong to network", "outside the guest's network"),
    no("-netdev user,id=x,dns=10.0.2.2", "DNS must be different from host", "name server"),
    no("-netdev user,id=x,dhcpstart=10.0.2.3", "DHCP must be different", "dhcpstart"),
    no("-netdev user,id=x,domainname=", "cannot be empty", "is empty"),
    no("-netdev user,id=x,ipv6-prefix=xyz", "Failed to parse IPv6 prefix", "no IPv6 prefix"),
    no("-netdev user,id=x,hostfwd=tcp:22", "Missing : separator", "only one ':'"),
    no("-netdev user,id=x,hostfwd=sctp::1-:2", "Bad protocol name", "neither tcp nor udp"),
    no("-netdev user,id=x,hostfwd=tcp::99999-:22", "Bad host port", "no port of the host"),
    no("-netdev user,id=x,hostfwd=tcp::5000-:0", "Bad guest port", "no port of the guest"),
    no("-netdev user,id=x,hostfwd=tcp::5000:22", "Bad host port separator", "a '-'"),
    no(
        "-netdev user,id=x,hostfwd=tcp::5001-:1,hostfwd=tcp::5001-:2",
        "Could not set up host",
        "forwarded twice",
    ),
    no("-netdev user,id=x,guestfwd=tcp:10.0.2.100:7", "Invalid guest forwarding rule", "no forwarding rule"),
    no(
        "-netdev user,id=x,guestfwd=tcp:1.2.3.4:7-cmd:cat",
        "Conflicting/invalid",
        "outside the guest's network",
    ),
    no("-netdev tap,id=x,fd=3,ifname=t", "are invalid with fd=", "open already"),
    no("-netdev tap,id=x,fd=three", "nvalid file descriptor", "no number"),
    no("-netdev tap,id=x,vhostfds=3:4", "invalid if fds= wasn't specified", "goes with fds="),
    no("-netdev tap,id=x,sndbuf=lots", "expects a size value", "is a size"),
    no("-netdev tap,id=x,queues=-1", "expects", "queues"),
    no("-netdev tap,id=x,fds=3:4,vhostfds=5", "does not match the number of vhostfds", "different numbers"),
    no("-net nic -net tap,queues=2,script=no,downscript=no", "cannot be used with hubs", "one queue"),
    no("-netdev socket,id=x", "exactly one of", "only one; there are 0"),
    no("-netdev socket,id=x,listen=:1,connect=1.2.3.4:5", "exactly one of", "there are 2"),
    no("-netdev socket,id=x,listen=1234", "doesn't contain ':'", "no ':'"),
    no("-netdev socket,id=x,listen=:http", "port number 'http' is invalid", "no port number"),
    no("-netdev socket,id=x,udp=127.0.0.1:1", "localaddr= is mandatory", "needs localaddr="),
    no(
        "-netdev socket,id=x,listen=:1234,localaddr=127.0.0.1", "only valid with mcast", "mcast= or udp= only"
    ),
    no("-netdev socket,id=x,mcast=10.0.0.1:1234", "does not contain a multicast", "no multicast"),
    no("-netdev stream,id=x", "Parameter 'addr' is missing", "addr is missing"),
    no("-netdev stream,id=x,addr.type=inet,addr.host=h", "addr.port' is missing", "addr.port is missing"),
    no("-netdev stream,id=x,addr.type=tcp", "does not accept value 'tcp'", "cannot be 'tcp'"),
    no("-netdev stream,id=x,addr.type=unix,addr.path=p,server=perhaps", "expects 'on' or 'off'", "on or off"),
    no(
        "-netdev stream,id=x,addr.type=unix,addr.path=p,speed=9", "Parameter 'speed' is unexpected", "'speed'"
    ),
    no("-netdev stream,id=x,server", "Expected '=' after parameter", "must follow"),
    no("-netdev stream,addr.type=unix,addr.path=p", "Parameter 'id' is missing", "id is missing"),
    no("-netdev dgram,id=x", "requires local=", "needs local"),
    no("-netdev dgram,id=x,local.type=unix,local.path=p", "requires remote parameter", "needs remote"),
    no(
        "-netdev dgram,id=x,local.type=unix,local.path=p,remote.type=inet,remote.host=127.1,remote.port=1",
        "types must be the same",
        "of one type",
    ),
    no("-netdev l2tpv3,id=x,src=1.2.3.4,dst=1.2.3.5", "'txsession' is missing", "needs txsession"),
    no("-netdev l2tpv3,id=x,src=1.2.3.4,dst=1.2.3.5,txsession=1,udp=on", "need both src and dst", "srcport"),
    no("-netdev l2tpv3,id=x,src=a,dst=b,txsession=1,rxcookie=1", "or neither", "go together"),
    no("-netdev hubport,id=x", "Parameter 'hubid' is missing", "needs hubid"),
    no("-netdev hubport,id=x,hubid=1,netdev=y", "netdev 'y' not found", "no netdev 'y'"),
    no("-net hubport,hubid=1", "only supported with -netdev", "with -netdev or -nic"),
    no("-netdev vhost-user,id=x", "Parameter 'chardev' is missing", "needs chardev"),
    no("-netdev vhost-user,id=x,chardev=c", 'chardev "c" not found', "no chardev 'c'"),
    no("-chardev null,id=c -netdev vhost-user,id=x,chardev=c", "not reconnectable", "no socket"),
    no("-netdev vhost-vdpa,id=x", "neither vhostdev= nor vhostfd=", "needs vhostdev="),
    no("-netdev vhost-vdpa,id=x,vhostdev=/dev/y,vhostfd=3", "mutually exclusive", "exclude each other"),
    no("-netdev vde,id=x,port=70000", "expects uint16_t", "between 0 and 65535"),
    no("-device e1000,netdev=gone", "can't find value 'gone'", "no netdev 'gone'"),
    no("-netdev user,id=x -device e1000,netdev=x -device e1000,netdev=x", "in use", "has a NIC already"),
    no(
        "-netdev user,id=x -nic user -device e1000,netdev=x,vlan=1",
        "'e1000.vlan' not found",
        "no property 'vlan'",
    ),
    no("-device e1000,mac=52:54:00", "doesn't take value", "MAC address"),
    no("-device e1000,macaddr=52:54:00:12:34:56", "not found", "called mac"),
    no("-device e1000x,netdev=x -netdev user,id=x", "not a valid device model name", "no NIC 'e1000x'"),
    no("-device e1000-base", "abstract", "no device that can be added"),
    no("-device sungem", "not a valid device model name", "built without"),
    no("-device usb-net", "No 'usb-bus' bus found", "no usb-bus"),
    no("-device virtio-net-device", "No 'virtio-bus' bus found", "no virtio-bus"),
    no("-M none -device e1000", "No 'PCI' bus found", "no PCI"),
    no("-M microvm -device virtio-net-pci", "No 'PCI' bus found", "no PCI"),
    no("-device netdev=x -netdev user,id=x", "Parameter 'driver' is missing", "which device"),
    no(
        "-device e1000,id=a -device rtl8139,id=a",
        "Duplicate ID 'a' for device",
        "two -device with the id 'a'",
    ),
    no("-device virtio-net-pci,mq=perhaps", "expects 'on' or 'off'", "on or off"),
    no("-device virtio-net-pci,rx_queue_size=100", "Invalid rx_queue_size", "power of 2"),
    no("-nic user,model=virtio-net", "Unsupported NIC model: virtio-net", "model 'virtio-net'"),
    no("-nic user,model=usb-net", "Unsupported NIC model", "model 'usb-net'"),
    no("-net nic,model=foo -net user", "Unsupported NIC model: foo", "model 'foo'"),
    no("-nic user,mac=xx", "invalid syntax for ethernet address", "no MAC address"),
    no("-nic user,mac=01:00:5e:00:00:01", "multicast MAC", "multicast"),
    no("-net nic,macaddr=01:00:5e:00:00:01", "multicast MAC", "multicast"),
    no("-net nic,vlan=0 -net user,vlan=0", "Invalid parameter 'vlan'", "no option 'vlan'"),
    no("-net nic,netdev=gone", "netdev 'gone' not found", "no netdev 'gone'"),
    no("-nic user,macaddr=52:54:00:12:34:56", "Invalid parameter 'macaddr'", "no option 'macaddr'"),
    no("-nic user,netdev=x", "Invalid parameter 'netdev'", "no option 'netdev'"),
    no("-net channel,vmchannel=x", "does not accept value 'channel'", "no back end"),
    no(" ".join(["-nic user"] * 9), "slots available", "no more than 8"),
    no("-M isapc -cpu 486 -nic user,model=e1000", "No primary PCI bus", "no PCI bus", taken="newer"),
    no("-M nothing", "unsupported machine type", "no machine 'nothing'"),
    no("-nettdev user", "invalid option", "no option of this QEMU"),
    no("-netdev", "requires an argument", "last word"),
    no("-netdev '{\"type\":'", "JSON", "begins as JSON"),
    no("""-netdev '{"type":"user"}'""", "Parameter 'id' is missing", "id is missing"),
    no("""-netdev '{"type":"user","id":"x","restrict":"on"}'""", "expected: boolean", "true or false"),
    no("""-netdev '{"type":"user","id":"x","colour":1}'""", "'colour' is unexpected", "'colour'"),
    no("""-device '{"driver":"e1000","netdev":"gone"}'""", "can't find value", "no netdev 'gone'"),
    no("-set netdev.x.hostname=y -netdev user,id=x", 'no netdev "x" defined', "before it"),
    no("-set nonsense", "can't parse", "GROUP.ID.NAME"),
    no("-readconfig bad.cfg", "no group defined", "neither a [section]"),
    no(
        "-chardev socket,id=c,path=gone -netdev vhost-user,id=x,chardev=c -device e1000,netdev=x",
        "onnect",
        "virtio NIC only",
    ),
]
AWAY = [
    Case(
        "-chardev socket,id=c,path=/tmp/vhost.sock -netdev vhost-user,id=v,chardev=c "
        "-device virtio-net-pci,netdev=v",
        only_here="vhost-user waits for a program at the other end of its socket",
    ),
    Case(
        "-netdev vhost-vdpa,id=v,vhostdev=/dev/vhost-vdpa-0 -device virtio-net-pci,netdev=v",
        only_here="there is no vDPA device",
    ),
    Case(
        "-netdev tap,id=t,fd=33,vhost=on,vhostfd=34 -device virtio-net-pci,netdev=t",
        only_here="the descriptors are libvirt's",
    ),
    Case("-netdev tap,id=t -device e1000,netdev=t", only_here="the distribution's script wants a bridge"),
    Case("-netdev vde,id=v -device e1000,netdev=v", only_here="no VDE switch runs"),
]
VHOST = ok(
    "-netdev tap,id=t,script=no,downscript=no,vhost=on -device virtio-net-pci,netdev=t",
    "-netdev tap,id=t,script=no,downscript=no,vhost=on -device e1000,netdev=t",
    needs="vhost",
)
CORPUS = [
    *DEFAULTS,
    *NIC,
    *NET,
    *PAIRS,
    *BACKENDS,
    *HUBS,
    *JSON,
    *TAPS,
    *BRIDGES,
    *SET,
    *MISTAKES,
    *VHOST,
    *AWAY,
]
# What -readconfig reads in the folder that the lines are started in.
FILES = {
    "net.cfg": '# a back end\n[netdev "fromfile"]\n  type = "user"\n  hostname = "fred"\n',
    "nic.cfg": '[nic]\n  type = "user"\n  model = "rtl8139"\n',
    "bad.cfg": "this is nothing\n",
}
