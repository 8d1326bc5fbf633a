"""Commands in the forms that people paste, found in public projects' own tests, sources and threads.

Each is reduced to what its network needs, with other names, addresses and paths.
"""

from __future__ import annotations

from form import VIRTIO, Form, pair
from forms_of_logs import LOGS

__all__ = ["FORMS"]

_LIBVIRT = (
    "LC_ALL=C \\\nPATH=/bin \\\nHOME=/h \\\nXDG_DATA_HOME=/h/.local/share \\\n/usr/bin/qemu-system-{} \\\n"
    "-name guest=g,debug-threads=on \\\n-S \\\n-machine {},usb=off,dump-guest-core=off \\\n-accel tcg \\\n"
    "-display none \\\n-no-user-config \\\n-nodefaults \\\n{} \\\n"
    "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \\\n-msg timestamp=on\n"
)


def _libvirt(name: str, options: str, *pairs: tuple[str, str], needs: str = "", target: str = "") -> Form:
    program, _, machine = (target or "x86_64 pc").partition(" ")
    text = _LIBVIRT.format(program, machine, " \\\n".join(options.split("\n")))
    return Form(f"libvirt/libvirt tests/qemuxmlconfdata/{name}", text, pairs, needs=needs)


LIBVIRT = (
    _libvirt(
        "net-user",
        """-netdev '{"type":"user","id":"hostnet0"}'\n"""
        """-device '{"driver":"rtl8139","netdev":"hostnet0","id":"net0","bus":"pci.0","addr":"0x2"}'""",
        ("rtl8139", "user"),
    ),
    _libvirt(
        "net-vhostuser",
        """-object '{"qom-type":"memory-backend-file","id":"r","mem-path":"/r","share":true,"size":1}'\n"""
        "-chardev socket,id=c0,path=/s0,server=on\n"
        """-netdev '{"type":"vhost-user","chardev":"c0","id":"hostnet0"}'\n"""
        """-device '{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","addr":"0x2"}'\n"""
        """-netdev '{"type":"socket","listen":":2015","id":"hostnet2"}'\n"""
        """-device '{"driver":"rtl8139","netdev":"hostnet2","id":"net2","bus":"pci.0","addr":"0x4"}'""",
        (VIRTIO, "vhost-user"),
        ("rtl8139", "socket"),
    ),
    _libvirt(
        "net-mcast",
        """-netdev '{"type":"socket","mcast":"230.0.0.1:5558","id":"hostnet0"}'\n"""
        """-device '{"driver":"rtl8139","netdev":"hostnet0","id":"net0","bus":"pci.0","addr":"0x2"}'""",
        ("rtl8139", "socket"),
    ),
    _libvirt(
        "net-udp",
        """-netdev '{"type":"socket","udp":"192.0.2.1:5555","localaddr":"192.0.2.1:5556","id":"h0"}'\n"""
        """-device '{"driver":"rtl8139","netdev":"h0","id":"net0","bus":"pci.0","addr":"0x2"}'""",
        ("rtl8139", "socket"),
    ),
    _libvirt(
        "net-virtio-teaming",
        """-netdev '{"type":"user","id":"hostua-b0"}'\n"""
        """-device '{"driver":"virtio-net-pci","failover":true,"netdev":"hostua-b0","id":"ua-b0"}'\n"""
        """-device '{"driver":"vfio-pci","host":"0000:03:07.1","id":"h0","failover_pair_id":"ua-b0"}'""",
        (VIRTIO, "user"),
    ),
    _libvirt(
        "net-virtio-disable-offloads",
        """-netdev '{"type":"user","id":"hostnet0"}'\n-device '{"driver":"virtio-net-pci","csum":false,"""
        """"gso":false,"host_tso4":false,"mrg_rxbuf":false,"guest_csum":false,"guest_tso4":false,"""
        """"guest_ufo":false,"netdev":"hostnet0","id":"net0"}'""",
        (VIRTIO, "user"),
    ),
    _libvirt(
        "net-user-passt",
        """-netdev '{"type":"stream","addr":{"type":"unix","path":"/p.socket"},"server":false,"""
        """"reconnect":5,"id":"hostnet0"}'\n-device '{"driver":"rtl8139","netdev":"hostnet0","id":"net0"}'""",
        ("rtl8139", "stream"),
        needs="newer",
    ),
    _libvirt(
        "net-vdpa",
        "-add-fd set=0,fd=30,opaque=net0-vdpa\n"
        """-netdev '{"type":"vhost-vdpa","vhostdev":"/dev/fdset/0","id":"hostnet0"}'\n"""
        """-device '{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0"}'""",
        (VIRTIO, "vhost-vdpa"),
    ),
    _libvirt(
        "net-eth-ifname",
        """-netdev '{"type":"tap","fd":"2900","id":"hostnet0"}'\n"""
        """-device '{"driver":"rtl8139","netdev":"hostnet0","id":"net0","bus":"pci.0","addr":"0x2"}'""",
        ("rtl8139", "tap"),
    ),
    _libvirt(
        "net-many-models",
        "\n".join(
            f"""-netdev '{{"type":"user","id":"h{n}"}}'\n-device '{{"driver":"{name}","netdev":"h{n}","""
            f""""id":"n{n}","mac":"52:54:00:00:00:0{n}","bus":"pci.0","addr":"0x{n + 2}"}}'"""
            for n, name in enumerate(("vmxnet3", "ne2k_pci", "pcnet"))
        ),
        ("vmxnet3", "user"),
        ("ne2k_pci", "user"),
        ("pcnet", "user"),
    ),
    _libvirt(
        "net-virtio-ccw",
        """-netdev '{"type":"user","id":"h0"}'\n-device '{"driver":"virtio-net-ccw","netdev":"h0","""
        """"id":"n0","devno":"fe.0.0001"}'\n-netdev '{"type":"user","id":"h1"}'\n"""
        """-device '{"driver":"virtio-net-ccw","netdev":"h1","id":"n1","devno":"fe.0.0000"}'""",
        ("virtio-net-ccw", "user"),
        ("virtio-net-ccw", "user"),
        target="s390x s390-ccw-virtio",
    ),
    _libvirt(
        "aarch64-virt-headless-mmio",
        """-netdev '{"type":"user","id":"hostnet0"}'\n"""
        """-device '{"driver":"virtio-net-device","netdev":"hostnet0","id":"net0"}'""",
        ("virtio-net-device", "user"),
        target="aarch64 virt-10.0",
    ),
    _libvirt(
        "arm-vexpressa9-virtio",
        """-netdev '{"type":"user","id":"hostnet0"}'\n"""
        """-device '{"driver":"virtio-net-device","netdev":"hostnet0","id":"net0"}'""",
        ("virtio-net-device", "user"),
        target="aarch64 vexpress-a9",
    ),
)
_PVE = (
    "/usr/bin/kvm \\\n  -id 8006 \\\n  -name 'netdev,debug-threads=on' \\\n  -no-shutdown \\\n"
    "  -netdev 'type=tap,id=net0,ifname=tap8006i0,script=/bridge,downscript=/down,vhost=on{}' \\\n"
    "  -device 'virtio-net-pci,netdev=net0,bus=pci.0,addr=0x12,id=net0,{}host_tunnel=off' \\\n"
    "  -machine 'hpet=off,type=pc+pve0'\n"
)
PROXMOX = tuple(
    Form(
        f"proxmox/qemu-server src/test/cfg2cmd/{name}",
        _PVE.format(queues, properties),
        pair(VIRTIO, "tap"),
        "Proxmox",
    )
    for name, queues, properties in (
        ("netdev-7.1", "", "rx_queue_size=1024,tx_queue_size=256,bootindex=300,host_mtu=900,"),
        (
            "netdev-7.1-multiqueues",
            ",queues=2",
            "vectors=6,mq=on,packed=on,rx_queue_size=1024,tx_queue_size=256,host_mtu=900,",
        ),
        ("netdev_vxlan", "", "rx_queue_size=1024,tx_queue_size=256,host_mtu=1450,"),
    )
)
_QUICKEMU = (
    "#!/usr/bin/env bash\n/usr/bin/qemu-system-x86_64 \\\n    -name vm,process=vm,debug-threads=on \\\n"
    "    -machine q35,smm=off,vmport=off,accel=kvm \\\n    -smp cores=2,threads=2 \\\n    -m 4G \\\n"
    "    -device virtio-rng-pci,rng=rng0 \\\n    -object rng-random,id=rng0,filename=/dev/urandom \\\n"
    "    {} \\\n    -global driver=cfi.pflash01,property=secure,value=on \\\n"
    "    -monitor unix:vm/vm-monitor.socket,server,nowait 2>/dev/null\n"
)
QUICKEMU = tuple(
    Form("quickemu-project/quickemu quickemu", _QUICKEMU.format(options), pairs)
    for options, pairs in (
        (
            "-device e1000,netdev=nic \\\n    -netdev user,hostname=vm,hostfwd=tcp::22220-:22,id=nic",
            pair("e1000", "user"),
        ),
        (
            "-device vmxnet3,netdev=nic \\\n    -netdev user,hostname=v,hostfwd=tcp::2-:22,restrict=y,id=nic",
            pair("vmxnet3", "user"),
        ),
        ("-nic bridge,br=br0,model=virtio-net-pci,mac=52:54:00:ab:51:ae", pair(VIRTIO, "bridge")),
        (
            "-device rtl8139,netdev=nic \\\n    -netdev user,hostname=vm,smb=/h,id=nic",
            pair("rtl8139", "user"),
        ),
        ("-nic none", ()),
    )
)
THREADS = (
    Form(
        "wichtounet/thor-os #45",
        "qemu-system-x86_64 -enable-kvm -cpu host -serial file:virtual.log -netdev "
        "tap,helper=/usr/lib/qemu/qemu-bridge-helper,id=t0 -device rtl8139,netdev=t0,id=n0 -vga std h.img &",
        pair("rtl8139", "tap"),
    ),
    Form(
        "embox/embox #930",
        "sudo qemu-system-i386 -kernel ./embox -m 256 -net nic,vlan=0,model=virtio,macaddr=AA:BB:CC:DD:EE:02 "
        "-net tap,script=./start_script,downscript=./stop_script,vlan=0 -nographic",
        refused="nic has no option 'vlan'",
    ),
    Form(
        "OP-TEE/optee_os #716",
        "qemu-system-arm -M virt -netdev user,id=network0 -device virtio-net-device,netdev=network0",
        pair("virtio-net-device", "user"),
    ),
    Form(
        "AMDESE/AMDSEV #214",
        "qemu-system-x86_64 -netdev user,id=vmnic,hostfwd=tcp::8000-:22 -device virtio-net-pci,netdev=vmnic",
        pair(VIRTIO, "user"),
    ),
    Form(
        "xpack-dev-tools/qemu-riscv-xpack #2",
        "qemu-system-riscv64 -M virt -netdev user,id=u1,hostfwd=tcp:127.0.0.1:10064-10.0.2.15:23 "
        "-device virtio-net-device,netdev=u1",
        pair("virtio-net-device", "user"),
    ),
    Form(
        "steelbrain/reims-vgpu #18",
        "qemu-system-x86_64 -netdev user,id=net0,ipv6=off,hostfwd=tcp::2222-:22 -device e1000,netdev=net0",
        pair("e1000", "user"),
    ),
    Form(
        "openwrt/openwrt #23424",
        "qemu-system-x86_64 -netdev user,id=lan,net=192.168.1.0/24,host=192.168.1.2,hostfwd=tcp::2222-"
        "192.168.1.1:22 -device virtio-net-pci,netdev=lan",
        pair(VIRTIO, "user"),
    ),
    Form(
        "canonical/subiquity #1286",
        "kvm -m 4G --nic tap,id=tap0,ifname=tap0,script=no,downscript=no,model=e1000 -nic user,model=virtio",
        (("e1000", "tap"), (VIRTIO, "user")),
    ),
    Form(
        "systemd/systemd #33769",
        "qemu-system-x86_64 -nic tap,ifname=vt-x,script=no,model=virtio-net-pci,script=no,downscript=no,"
        "mac=52:54:00:00:00:01",
        pair(VIRTIO, "tap"),
    ),
    Form(
        "postmarketOS/pmbootstrap #266",
        "qemu-system-arm -M versatilepb -redir tcp:2222::22",
        refused="'-redir' is no option",
    ),
    Form(
        "copy/v86, a comment of its test of a network",
        "//  qemu-system-i386 -m 2G -nographic -netdev dgram,id=net0,remote.type=inet,remote.host=127.0.0.1,"
        "remote.port=6677,local.host=127.0.0.1,local.port=7744,local.type=inet -device e1000,netdev=net0",
        pair("e1000", "dgram"),
    ),
    Form(
        "GNS3/gns3-server #2516, its ways of old releases",
        "qemu-system-x86_64 -net nic,macaddr=00:00:ab:00:00:00,model=e1000 -net udp,vlan=0,sport=1,dport=2",
        refused="there is no back end 'udp'",
    ),
    Form(
        "kubernetes/minikube #16339",
        "sudo qemu-system-aarch64 -M virt -cpu host -nic vmnet-shared,model=virtio,mac=52:54:00:00:00:02",
        pair(VIRTIO, "vmnet-shared"),
        "macOS",
    ),
)
FORMS = (*LIBVIRT, *PROXMOX, *QUICKEMU, *THREADS, *LOGS)
