#!/bin/sh
# The first process of a lab's guest: load the modules, take the address from the command line, answer on port 7,
# then do what the host says. A command comes as "<id> <base64>" on a virtio-serial port and is answered by
# "<id> <status> <base64 of what it printed>"; "<id> !" interrupts the command of that id. Commands run side by
# side. Whoever opens the port on the host is greeted with "ready 0 <release>".
# lab_name, lab_address and lab_gateway are on the kernel's command line, which gives them to us.
export PATH=/bin:/sbin:/usr/bin HOME=/ PS1="$lab_name# " TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
while read -r module; do
    insmod "/modules/$module" || echo "insmod $module failed" >/dev/console
done </modules/order
echo "$lab_name" >/proc/sys/kernel/hostname
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
perl /responder.pl answer "$lab_name" 7 &
answerer=$!
# A USB device shows up late, and under another name; some links take seconds to come up.
await() {
    tries=0
    until "$@" || [ "$tries" -ge 100 ]; do
        tries=$((tries + 1))
        usleep 50000
    done
}
has_card() {
    [ -d /sys/class/net/usb0 ] && ip link set usb0 name eth0
    [ -d /sys/class/net/eth0 ]
}
has_link() { read -r carrier 2>/dev/null </sys/class/net/eth0/carrier && [ "$carrier" = 1 ]; }
await has_card
ip link set eth0 up
await has_link
if [ "$lab_address" = dhcp ]; then
    udhcpc -i eth0 -n -q -f -t 10 -T 1 -s /udhcpc >/dev/console 2>&1 || echo "no address by DHCP" >/dev/console
else
    ip addr add "$lab_address" dev eth0
    [ -z "$lab_gateway" ] || ip route add default via "$lab_gateway"
fi
wait "$answerer"

port=
tries=0
while [ -z "$port" ] && [ "$tries" -lt 200 ]; do
    for name in /sys/class/virtio-ports/*/name; do
        [ -r "$name" ] && read -r said <"$name" && [ "$said" = qtrace ] || continue
        name=${name%/name}
        port=/dev/${name##*/}
    done
    tries=$((tries + 1))
    [ -n "$port" ] || usleep 50000
done
[ -c "$port" ] || { echo "no agent port" >/dev/console; poweroff -f; }

# A shell for whoever opens the console.
(while :; do
    setsid cttyhack sh </dev/ttyS0 >/dev/ttyS0 2>&1
    usleep 200000
done) &

exec 3<>"$port"
read -r release </proc/sys/kernel/osrelease
release=$(printf '%s\n' "$release" | base64)

answer() {
    setsid sh "/tmp/$1.command" >"/tmp/$1.output" 2>&1 </dev/null 3>&- &
    echo $! >"/tmp/$1.pid"
    wait $!
    status=$?
    until mkdir /tmp/answering 2>/dev/null; do usleep 10000; done
    { printf '%s %s ' "$1" "$status"; base64 -w 0 "/tmp/$1.output"; echo; } >&3
    rmdir /tmp/answering
    rm -f "/tmp/$1."*
}

while :; do
    printf 'ready 0 %s\n' "$release" >&3
    while read -r id command <&3; do
        case $command in
            !) read -r pid <"/tmp/$id.pid" && kill -INT "-$pid" ;;
            ?*)
                printf %s "$command" | base64 -d >"/tmp/$id.command"
                answer "$id" &
                ;;
        esac
    done
    # Nobody has the port open on the host.
    usleep 50000
done
