#!/bin/sh
# enter.sh LOWER WORK FOLDERS COMMAND...: run COMMAND in the root LOWER, under a layer of its own in WORK, in a
# mount namespace that the caller has made. FOLDERS are the host's, one a line, each to be seen at the same place,
# read-only. /dev and /sys are the host's, so that eBPF and guests work as they do outside.
set -e
lower=$1 work=$2 folders=$3
shift 3
mkdir -p "$work/upper" "$work/work" "$work/root" "$work/tmp"
chmod 1777 "$work/tmp"
mount -t overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
cd "$work/root"
mount --rbind /dev dev
mount --rbind /sys sys
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount --bind "$work/tmp" tmp  # a layer cannot lie on a layer: who makes one in /tmp finds a plain folder
[ -d sys/kernel/tracing/events ] || mount -t tracefs tracefs sys/kernel/tracing
printf '%s\n' "$folders" | while read -r folder; do
    [ -n "$folder" ] || continue
    mkdir -p ".$folder"
    mount --bind "$folder" ".$folder"
    mount -o remount,ro,bind ".$folder"
done
mkdir run/host
pivot_root . run/host
cd /
umount -l /run/host
rmdir /run/host
exec "$@"
