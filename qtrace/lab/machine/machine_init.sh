#!/bin/sh
# The lab machine's first process: put the host's root (9p, read-only) under a tmpfs, then hand over to
# the agent, which runs with the host's own Python. What stands here is what cannot wait for that.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "insmod $module failed" >/dev/console
done
mkdir -p /lower /upper /root
options=trans=virtio,version=9p2000.L,msize=1048576,access=any
mount -t 9p -o "ro,cache=loose,$options" root /lower || poweroff -f
mount -t tmpfs -o mode=755,size=75% tmpfs /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /root || poweroff -f
cd /root || poweroff -f
mkdir -p proc sys dev run tmp
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tracefs tracefs sys/kernel/tracing
mount -t debugfs debugfs sys/kernel/debug
mount -t bpf bpf sys/fs/bpf
# Folders shared for writing come one a line: "<tag> <path>". cache=mmap keeps nothing back that the
# host would miss, yet lets programs map files.
while read -r tag path; do
    mkdir -p "/root$path"
    mount -t 9p -o "rw,cache=mmap,$options" "$tag" "/root$path" || poweroff -f
done </shares
umount /dev /proc
exec switch_root /root /usr/bin/env $(cat /command)
