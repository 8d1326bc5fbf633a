#!/bin/sh
# The lab machine's first process: the host's own file system, read-only, with a tmpfs over it, then
# the agent, run by the host's Python. /proc/cmdline carries what differs from run to run.
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
while read -r module; do
    insmod "/modules/$module" || echo "insmod $module failed" >/dev/console
done </modules/order

setting() { sed -n "s|.*qtrace\.$1=\([^ ]*\).*|\1|p" /proc/cmdline; }
fail() { echo "qtrace: $1" >/dev/console; sleep 1; poweroff -f; }

options=trans=virtio,version=9p2000.L,msize=512000
mkdir -p /lower /upper /new
mount -t 9p -o "$options,cache=loose,ro" root /lower || fail "cannot mount the host's files"
mount -t tmpfs -o size=75% tmpfs /upper
mkdir -p /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new || fail "no overlay"
mkdir -p /new/proc /new/sys /new/dev /new/run /new/tmp /new/lib/modules
mount -t tmpfs tmpfs /new/run
mount -t tmpfs tmpfs /new/tmp
chmod 1777 /new/tmp
mount --bind "/new$(setting modules)" /new/lib/modules || fail "no kernel modules"

number=0
for folder in $(setting shares | tr : ' '); do
    folder=$(echo "$folder" | base64 -d)
    mkdir -p "/new$folder"
    # Written through: what the machine has written is on the host when it ends.
    mount -t 9p -o "$options,cache=none" "share$number" "/new$folder" || fail "cannot mount $folder"
    number=$((number + 1))
done

for name in proc sys dev; do mount --move "/$name" "/new/$name"; done
mkdir -p /new/dev/shm /new/dev/pts
mount -t tmpfs tmpfs /new/dev/shm
mount -t devpts devpts /new/dev/pts
mount -t tracefs tracefs /new/sys/kernel/tracing
mount -t debugfs debugfs /new/sys/kernel/debug
mount -t bpf bpf /new/sys/fs/bpf 2>/dev/null
ip link set lo up
exec switch_root /new /usr/bin/python3 -S -E "$(sed -n 's|.*qtrace\.agent=\([^ ]*\).*|\1|p' /new/proc/cmdline)"
