#!/bin/sh
# What udhcpc calls with what the DHCP server said.
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}"
[ -z "$dns" ] || echo "nameserver ${dns%% *}" >/etc/resolv.conf
