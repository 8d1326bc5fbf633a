#!/bin/sh
# The guest's first process: load the modules, then do what the host says, one command at a time.
# A command comes as "<id> <base64>" on a virtio-serial port and is answered by
# "<id> <status> <base64 of what it printed>".
export PATH=/bin:/usr/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/shm /dev/pts
while read -r module; do
    insmod "/modules/$module" || echo "insmod $module failed" >/dev/console
done </modules/order
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up

port=
tries=0
while [ -z "$port" ] && [ "$tries" -lt 200 ]; do
    for name in /sys/class/virtio-ports/*/name; do
        [ "$(cat "$name" 2>/dev/null)" = qtrace ] && port=/dev/$(basename "$(dirname "$name")")
    done
    tries=$((tries + 1))
    [ -n "$port" ] || usleep 50000
done
[ -c "$port" ] || { echo "no agent port" >/dev/console; poweroff -f; }

exec 3<>"$port"
printf 'ready 0 %s\n' "$(uname -r | base64)" >&3
while read -r id command <&3; do
    printf %s "$command" | base64 -d >/tmp/command
    sh /tmp/command >/tmp/output 2>&1 </dev/null 3>&-
    status=$?
    { printf '%s %s ' "$id" "$status"; base64 -w 0 /tmp/output; echo; } >&3
done
poweroff -f
