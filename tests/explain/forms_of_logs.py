"""Commands that the log of a program shows. Each is reduced to what its network needs, with other names."""

from __future__ import annotations

from form import VIRTIO, Form, pair

__all__ = ["LOGS"]

_KATA = "-device driver={},netdev=network-0,mac=02:42:ac:11:00:02,{}mq=on,{}"
_KATA_TAP = "-netdev tap,id=network-0,vhost=on,vhostfds=5:6,fds=3:4"
_KATA_OLD = (
    "-name sandbox-1 -machine pc,accel=kvm,kernel_irqchip,nvdimm -cpu host "
    f"-qmp unix:/run/vc/vm/1/qmp.sock,server,nowait {_KATA_TAP} "
    f"{_KATA.format(VIRTIO, 'disable-modern=false,', 'vectors=6,romfile=')} -vga none -no-user-config "
    "-nodefaults -nographic -daemonize"
)
_KATA_NEW = (
    "-machine q35,accel=kvm -nodefaults -netdev tap,id=network-0,vhost=on,vhostfds=5,fds=3 "
    f"{_KATA.format(VIRTIO, 'disable-modern=false,', 'vectors=4')} -no-user-config"
)
KATA = (
    Form(
        "kata-containers/runtime #2775",
        f'"launching qemu-system-x86_64 with: [{_KATA_OLD}]"',
        pair(VIRTIO, "tap"),
        "Kata Containers",
    ),
    Form(
        "kata-containers/kata-containers src/runtime/pkg/govmm/qemu/qemu.go",
        'time="2020-10-18T20:33:20-04:00" level=info msg="launching /opt/kata/bin/qemu-system-x86_64 with: '
        f'[{_KATA_OLD}]" sandbox=s source=virtcontainers subsystem=qmp',
        pair(VIRTIO, "tap"),
        "Kata Containers",
    ),
    Form(
        "AliyunContainerService/pouch #2202",
        f"root     22976 22925  0 16:15 ?        00:00:02 /usr/bin/qemu-lite-system-x86_64 {_KATA_OLD}",
        pair(VIRTIO, "tap"),
        "Kata Containers",
    ),
    Form(
        "kata-containers/kata-containers src/runtime-rs/crates/hypervisor/src/qemu/inner.rs",
        f'{{"msg":"qemu args: {_KATA_NEW}","level":"INFO","subsystem":"hypervisor"}}',
        pair(VIRTIO, "tap"),
        "Kata Containers",
    ),
    Form(
        "kata-containers/kata-containers src/runtime-rs/crates/hypervisor/src/qemu/inner.rs, the command",
        'qemu cmd: Command { std: "/opt/kata/bin/qemu-system-x86_64" '
        + " ".join(f'"{word}"' for word in _KATA_NEW.split())
        + ", kill_on_drop: false }",
        pair(VIRTIO, "tap"),
        "Kata Containers",
    ),
    Form(
        "kata-containers/kata-containers src/runtime/pkg/govmm/qemu/qemu_arch_base_test.go",
        "qemu-system-x86_64 -netdev tap,id=tap0,vhost=on,ifname=c0,downscript=no,script=no -device "
        "driver=virtio-net-pci,netdev=tap0,disable-modern=true,romfile=efi-virtio.rom",
        pair(VIRTIO, "tap"),
    ),
    Form(
        "kata-containers/kata-containers qemu_arch_base_test.go, vhost-user",
        "qemu-system-x86_64 -M q35 -chardev socket,id=char1,path=/s -netdev "
        "type=vhost-user,id=net1,chardev=char1,vhostforce=on -device virtio-net-pci,netdev=net1,bus=pcie.0",
        pair(VIRTIO, "vhost-user"),
    ),
    Form(
        "kata-containers/kata-containers src/runtime/pkg/govmm/qemu/qemu_s390x_test.go",
        "qemu-system-s390x -netdev tap,id=tap0,vhost=on,fds=3:4 -device "
        "driver=virtio-net-ccw,netdev=tap0,mq=on,devno=fe.1.1234",
        pair("virtio-net-ccw", "tap"),
    ),
)
_LIMA = (
    "-m 4096 -cpu host -machine virt,accel=hvf -smp 4,sockets=1,cores=4,threads=1 -boot order=c,menu=on "
    "-netdev user,id=net0,net=192.168.5.0/24,dhcpstart=192.168.5.15,hostfwd=tcp:127.0.0.1:60022-:22 "
    "-device virtio-net-pci,netdev=net0,mac=52:55:55:12:34:56{} -device virtio-rng-pci -display none "
    "-parallel none -chardev socket,id=char-qmp,path=/l/qmp.sock,server=on,wait=off -qmp chardev:char-qmp "
    "-name lima-default -pidfile /l/qemu.pid"
)
LIMA = (
    Form(
        "lima-vm/lima #1328",
        '{"level":"debug","msg":"qCmd.Args: [/opt/homebrew/bin/qemu-system-aarch64 '
        f'{_LIMA.format("")}]","time":"2023-01-25T14:11:48+06:00"}}',
        pair(VIRTIO, "user"),
        "Lima",
    ),
    Form(
        "lima-vm/lima #2020",
        'time="2023-11-22T14:33:49+03:00" level=debug msg="qCmd.Args: [/usr/local/bin/qemu-system-aarch64 '
        f'{_LIMA.format(" -netdev socket,id=net1,fd=3 -device virtio-net-pci,netdev=net1")}]"',
        (*pair(VIRTIO, "user"), *pair(VIRTIO, "socket")),
        "Lima",
    ),
    Form("lima-vm/lima #179", f"```qemu-system-aarch64 {_LIMA.format('')}```", pair(VIRTIO, "user")),
    Form(
        "lima-vm/lima pkg/driver/qemu/qemu.go",
        "qemu-system-x86_64 -netdev stream,id=net1,server=off,addr.type=unix,addr.path=/s,reconnect-ms=500 "
        "-device virtio-net-pci,netdev=net1",
        pair(VIRTIO, "stream"),
        needs="newer",
    ),
    Form(
        "abiosoft/colima, in Lima's log",
        '{"level":"debug","msg":"qCmd.Args: [/c/bin/qemu-system-x86_64 -m 2048 -cpu host,-pdpe1gb '
        "-machine q35,accel=hvf -netdev user,id=net0,net=192.168.5.0/24,hostfwd=tcp:127.0.0.1:49168-:22 "
        '-device virtio-net-pci,netdev=net0 -device virtio-vga]","time":"2023-08-26T07:16:43Z"}',
        pair(VIRTIO, "user"),
        "Lima",
    ),
)
_PODMAN = (
    "-m 8192 -smp 4 -fw_cfg name=opt/com.coreos/config,file=/p.ign -qmp unix:/q.sock,server=on,wait=off "
    "-netdev {} -device virtio-net-pci,netdev=vlan,mac=5a:94:ef:e4:0c:ee -device virtio-serial "
    "-accel hvf -cpu host -M virt,highmem=on"
)
PODMAN = (
    Form(
        "podman-container-tools/podman #17473",
        "DEBU[0000] qemu cmd: [/opt/homebrew/bin/qemu-system-aarch64 "
        f"{_PODMAN.format('socket,id=vlan,fd=3')}]\nINFO[0000] waiting for clients...",
        pair(VIRTIO, "socket"),
        "podman machine",
    ),
    Form(
        "podman-container-tools/podman #24439",
        "qemu-system-x86_64 -netdev stream,id=vlan,server=off,addr.type=unix,addr.path=/g.sock "
        "-device virtio-net-pci,netdev=vlan",
        pair(VIRTIO, "stream"),
    ),
    Form(
        "boot2podman/machine #4",
        "qemu-system-x86_64 -net nic,vlan=0,model=virtio -net user,vlan=0,hostfwd=tcp::2222-:22",
        refused="nic has no option 'vlan'",
    ),
)
_TWO = "-device e1000,mac=00:00:ab:00:00:00,netdev=gns3-0 -netdev {} -device e1000,mac=00:00:ab:00:00:01"
GNS3 = (
    Form(
        "GNS3/gns3-server #96",
        " 7212 ?        Sl     0:02 /usr/bin/qemu-system-x86_64 -name o-1 -m 128 -nographic -enable-kvm "
        + _TWO.format("socket,id=gns3-0,udp=127.0.0.1:10000,localaddr=127.0.0.1:10001"),
        (("e1000", "socket"), ("e1000", "-")),
    ),
    Form(
        "GNS3/gns3-server #521",
        "Event received: {'event': {'mac_address': '00:00:ab:00:00:00', 'command_line': "
        f"'/usr/bin/qemu-system-i386 -name R-5 -m 64M -net none "
        f"{_TWO.format('socket,id=gns3-0,udp=127.0.0.1:10010,localaddr=127.0.0.1:10011')} -display none', "
        "'hdd_disk_image': ''}, 'action': 'vm.started'}",
        (("e1000", "socket"), ("e1000", "-")),
        "GNS3",
    ),
    Form(
        "GNS3/gns3-gui #554",
        f"Start QEMU with /usr/bin/qemu-system-x86_64 -name R1 -m 384 -hda '/h/CDP Lab/d.qcow2' -net none "
        f"{_TWO.format('tap,id=gns3-0,ifname=tap0')}\n\nExecution log:\n"
        "/etc/qemu-ifup: could not launch network script\nqemu-system-x86_64: -netdev tap,id=gns3-0,ifname="
        "tap0: Device 'tap' could not be initialized\n",
        (("e1000", "tap"), ("e1000", "-")),
        "GNS3",
    ),
    Form(
        "GNS3/gns3-server gns3server/compute/qemu/qemu_vm.py",
        "2018-02-28 19:55:35 INFO qemu_vm.py:1387 Starting QEMU with: /usr/bin/qemu-system-x86_64 -name "
        f"'NX OS-1' -m 8192M -net none {_TWO.format('tap,id=gns3-0,ifname=t0,script=no,downscript=no')}\n"
        "2018-02-28 19:55:35 INFO qemu_vm.py:1389 logging to /l",
        (("e1000", "tap"), ("e1000", "-")),
        "GNS3",
    ),
    Form(
        "GNS3/gns3-server tests/compute/qemu/test_qemu_vm.py",
        "['/bin/qemu-system-x86_64', '-name', 'test', '-m', '256M', '-net', 'none', '-device', "
        "'e1000,netdev=gns3-0', '-netdev', 'socket,id=gns3-0,udp=127.0.0.1:1,localaddr=127.0.0.1:2']",
        pair("e1000", "socket"),
    ),
)
_UTM = (
    '-L /u/qemu -S -qmp tcp:127.0.0.1:4000,server,nowait -nodefaults -vga none -spice "unix=on,addr=/u.spice,'
    'disable-ticketing=on" -device virtio-ramfb -cpu host -smp cpus=4,sockets=1,cores=4,threads=1 -machine '
    "virt,highmem=off -accel hvf -device virtio-net-pci,mac=02:93:c2:00:00:01,netdev=net0 -netdev {}"
)
MACOS = (
    Form(
        "utmapp/UTM #3215",
        f"Running:  {_UTM.format('vmnet-macos,mode=bridged,id=net0')}\nqemu-aarch64-softmmu: -netdev vmnet-"
        "macos,mode=bridged,id=net0: Device 'vmnet-macos' could not be initialized",
        pair(VIRTIO, "vmnet-macos"),
        "UTM",
    ),
    Form(
        "utmapp/UTM #5931",
        "qemu-system-aarch64 -L /u -S -chardev spiceport,id=q,name=org.qemu.monitor.qmp.0 -nodefaults "
        "-device virtio-net-pci,netdev=net0 -netdev user,id=net0 -device virtio-net-pci,netdev=net1 "
        "-netdev vmnet-bridged,id=net1,ifname=en0 -device virtio-gpu-gl-pci -machine virt -accel hvf",
        (*pair(VIRTIO, "user"), *pair(VIRTIO, "vmnet-bridged")),
        "macOS",
    ),
    Form(
        "utmapp/UTM #3659",
        "qemu-aarch64-softmmu -M virt -netdev vmnet-macos,mode=shared,id=n -device virtio-net-pci,netdev=n",
        pair(VIRTIO, "vmnet-macos"),
        "UTM",
    ),
    Form(
        "utmapp/UTM #4324",
        "qemu-x86_64-softmmu -netdev vmnet-shared,id=net0 -device virtio-net-pci,netdev=net0",
        pair(VIRTIO, "vmnet-shared"),
        "macOS",
    ),
    Form(
        "knazarov/homebrew-qemu-virgl #50",
        "qemu-system-aarch64 \\\n-M virt,accel=hvf,highmem=off -m 2G \\\n-netdev vmnet-macos,id=net0,"
        "mode=bridged,ifname=en0 \\\n-device virtio-net,netdev=net0 \\\n-nographic",
        pair(VIRTIO, "vmnet-macos"),
        "UTM",
    ),
    Form(
        "kubernetes/minikube #14607",
        "someone         12640  83.6 25.0 40808748 4196160   ??  R     8:02PM 133:03.40 qemu-system-x86_64 "
        "-display none -accel hvf -m 6144 -smp 2 -boot d -cdrom /b.iso -qmp unix:/m/monitor,server,nowait "
        "-nic user,model=virtio,hostfwd=tcp::64985-:22,hostfwd=tcp::64986-:2376,hostname=minikube "
        "-daemonize /m/disk.qcow2",
        pair(VIRTIO, "user"),
    ),
)
_LXD = (
    "forklimits limit=memlock:unlimited:unlimited fd=3 -- {} -S -name v1 -uuid "
    "1c018703-255b-45db-b27b-6d025e336a08 -cpu host -nographic -serial chardev:console -nodefaults "
    "-no-user-config -sandbox on,obsolete=deny,elevateprivileges=allow,spawn=allow,resourcecontrol=deny "
    "-readconfig /l/qemu.conf -spice unix=on,disable-ticketing=on,addr=/l/qemu.spice -pidfile /l/qemu.pid "
    "-D /l/qemu.log -runas lxd"
)
LXD = (
    Form(
        "canonical/lxd-ui #734",
        f"Instance v1: Failed to run: {_LXD.format('/snap/lxd/1/bin/qemu-system-x86_64')}: : exit status 1",
        (),
        "LXD or Incus",
    ),
    Form(
        "zabbly/incus-ui-canonical #31",
        f"Failed to run: {_LXD.format('/opt/incus/bin/qemu-system-x86_64')}: : exit status 1",
        (),
        "LXD or Incus",
    ),
)
LABS = (
    Form(
        "vrnetlab/vrnetlab #143",
        "2018-01-01 01:01:01,000: vrnetlab  DEBUG  ['qemu-system-x86_64', '-display', 'none', '-m', '4096', "
        "'-device', 'pci-bridge,chassis_nr=1,id=pci.1', '-device', 'e1000,netdev=p82,bus=pci.1,addr=0x5', "
        "'-netdev', 'socket,id=p82,listen=:10082', '-device', 'e1000,netdev=p83,bus=pci.1,addr=0x6', "
        "'-netdev', 'socket,id=p83,listen=:10083']",
        (("e1000", "socket"), ("e1000", "socket")),
        "vrnetlab",
    ),
    Form(
        "srl-labs/vrnetlab #37",
        "root     18546  0.0  0.0   4504   712 ?        S    11:50   0:00      \\_ sh -c TAG=T1D16- "
        "/opt/qemu-2.12.0/bin/qemu-system-x86_64 -device virtio-net-pci,netdev=net0 -netdev "
        "tap,id=net0,ifname=vunl1_16_0,script=no -smp 1 -m 512 -name client -vnc :27012 "
        "-machine type=pc,accel=kvm -vga virtio -boot order=cd",
        pair(VIRTIO, "tap"),
    ),
    Form(
        "hashicorp/packer-plugin-qemu builder/qemu/driver.go",
        "2022/06/07 13:28:00 packer-builder-qemu plugin: Executing /usr/bin/qemu-system-x86_64: []string{"
        '"-netdev", "user,id=user.0,hostfwd=tcp::3452-:22", "-vnc", "127.0.0.1:70", "-device", '
        '"virtio-net,netdev=user.0", "-name", "p", "-machine", "type=pc,accel=kvm", "-m", "2048M"}\n'
        "2022/06/07 13:28:00 packer-builder-qemu plugin: Started Qemu. Pid: 7970",
        pair(VIRTIO, "user"),
        "Packer",
    ),
    Form(
        "hashicorp/packer-plugin-qemu builder/qemu/driver.go, broken over lines",
        'Executing /usr/bin/qemu-system-x86_64: []string{\n  "-machine", "type=q35,accel=kvm",\n'
        '  "-device", "virtio-net,netdev=user.0",\n  "-netdev", "user,id=user.0,hostfwd=tcp::3452-:5985"\n}',
        pair(VIRTIO, "user"),
        "Packer",
    ),
)
LOGS = (*KATA, *LIMA, *PODMAN, *GNS3, *MACOS, *LXD, *LABS)
