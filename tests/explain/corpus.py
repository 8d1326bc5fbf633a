"""Command lines, written for this: every option form, every back end, defaults and mistakes."""

from __future__ import annotations

from case import Case
from mistakes import MISTAKES

__all__ = ["CORPUS", "FILES", "Case"]


def ok(*lines: str, needs: str = "") -> list[Case]:
    return [Case(line, needs=needs) for line in lines]


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
    "-nic user -nic user,model=ne2k_isa",
    "-nic user,model=e1000 -nic user,model=ne2k_isa -nic user,model=rtl8139",
    "-nic user,model=virtio-net-pci-non-transitional",
    "-M q35 -nic user,model=ne2k_isa",
    "-M isapc -cpu 486 -nic user,model=ne2k_isa -nic user",
    "-M x-remote -nic user",
    "-M microvm,pcie=on -device virtio-net-pci",
    "-M pc-q35-2.12",
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
    "-net nic,addr=0x6,model=virtio -net user -device e1000,addr=7",
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
SLOTS = ok(
    "-device e1000,addr=1f.7 -device e1000",
    "-device e1000,addr=5.0,multifunction=on -device e1000,addr=5.1",
    "-netdev user,id=n -device virtio-net,netdev=n,bus=pci.0,addr=0x12,id=net0,bootindex=300",
    "-M q35 -device pcie-root-port,id=rp,bus=pcie.0,chassis=1 -device virtio-net-pci,bus=rp",
    "-device pci-bridge,id=b1,chassis_nr=1 -device e1000,bus=b1,addr=1 -device e1000",
    "-nodefaults -device virtio-balloon-pci,bus=pci.0,addr=0x3 -device e1000 -device e1000,addr=4",
    "-nodefaults -device virtio-rng-pci -device virtio-net-pci -device virtio-scsi-pci -device e1000",
    "-nodefaults -device usb-ehci -device e1000",
    "-vga none -device e1000",
    "-nodefaults -vga std -device e1000",
    "-device VGA -device e1000",
    "-M q35,usb=on -device e1000",
    "-M pc,acpi=off -device e1000,addr=1.3",
    "-drive if=virtio,file=null-co://,format=raw -device e1000",
    "-virtfs local,path=/,mount_tag=x,security_model=none -device e1000",
    """-device '{"driver":"e1000","addr":72}'""",
)
GLOBALS = ok(
    "-global e1000.mac=52:54:00:00:00:77",
    "-global e1000.mac=52:54:00:00:00:77 -device e1000",
    "-global driver=e1000,property=mac,value=52:54:00:00:00:77 -device e1000 -nodefaults",
    "-global e1000-base.mac=52:54:00:00:00:77 -device e1000 -nodefaults",
    "-global virtio-net-device.mac=52:54:00:00:00:78 -device virtio-net-pci",
    "-global virtio-net-pci.mq=on -device virtio-net-pci,mac=52:54:00:00:00:79",
    "-global e1000.mac=52:54:00:00:00:77 -nic user,mac=52:54:00:00:00:78",
    "-global e1000.netdev=u -netdev user,id=u -device e1000 -nodefaults",
    "-global nonsense.x=y",
    "-global PIIX4_PM.disable_s3=1 -nic user",
)
FILTERS = ok(
    "-netdev user,id=u -device e1000,netdev=u -object filter-dump,id=f,netdev=u,file=dump.dat",
    "-object filter-dump,id=f,netdev=u,file=dump.dat,maxlen=100,queue=rx -netdev user,id=u",
    "-netdev user,id=u -object filter-buffer,id=f,netdev=u,interval=1000,status=off",
    "-netdev user,id=u -object filter-rewriter,id=f,netdev=u,vnet_hdr_support",
    "-netdev user,id=u -chardev null,id=c -object filter-mirror,id=f,netdev=u,outdev=c",
    "-netdev user,id=u -chardev null,id=c -object filter-redirector,id=f,netdev=u,indev=c,outdev=d "
    "-chardev null,id=d",
    "-netdev user,id=u -object filter-replay,id=f,netdev=u "
    "-object filter-replay,id=g,netdev=u,position=id=f,insert=before",
    "-netdev hubport,id=p,hubid=0 -object filter-replay,id=f,netdev=p",
    "-nic user,id=u -object filter-replay,id=f,netdev=u",
    "-net user,id=u -net nic -object filter-replay,id=f,netdev=u",
    """-object '{"qom-type":"filter-dump","id":"f","netdev":"u","file":"d","maxlen":9}' -netdev user,id=u""",
    "-object iothread,id=i -chardev socket,id=a,path=sa,server=on,wait=off "
    "-chardev socket,id=b,path=sb,server=on,wait=off -chardev socket,id=c,path=sc,server=on,wait=off "
    "-object colo-compare,id=cc,primary_in=a,secondary_in=b,outdev=c,iothread=i",
    "-object rng-random,id=r -object secret,id=s,data=x -nic user",
    "-readconfig filter.cfg -nic user,id=u",
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
    """-netdev '{"type":"user","id":"n","hostfwd":[{"str":"tcp:127.0.0.1:5577-:22"}]}'""",
    """-netdev '{"type":"user","id":"n","guestfwd":[{"str":"tcp:10.0.2.100:7-cmd:cat"}]}'""",
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
    Case(
        "-netdev af-xdp,id=x,ifname=lo -device e1000,netdev=x",
        ("does not accept value 'af-xdp'", "no back end 'af-xdp'"),
        taken="newer",
        only_here="the program is built without AF_XDP",
    ),
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
    *SLOTS,
    *GLOBALS,
    *FILTERS,
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
    "filter.cfg": '[object "f"]\n  qom-type = "filter-replay"\n  netdev = "u"\n',
    "bad.cfg": "this is nothing\n",
}
