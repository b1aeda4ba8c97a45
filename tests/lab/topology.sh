#!/bin/bash
# topology.sh COMMAND...: builds the network in the guest, then runs COMMAND on the server.
#
#   client4  198.51.100.2   ----+
#                               |     broker                                 server
#                               +---- 216.66.84.42 (lo)  46.105.5.254 ------ eth0 46.105.5.1
#                               |     he0: sit, 2001:470:1f12:f87::1/64
#   client6  2001:db8:c::2  ----+     2001:470:1f13:f87::/64 via 2001:470:1f12:f87::2
#
# Each is a network namespace.  The broker routes IPv4 between client4 and the server, and IPv6 between client6
# and the tunnel; the server has no IPv6 until the tunnel is there.
set -euo pipefail

modprobe -a veth sit
for name in server broker client4 client6; do
  [ -e "/run/netns/$name" ] || ip netns add "$name" # systemd.sh has made this one
  ip -n "$name" link set lo up
done
for name in broker client6; do # addresses are usable at once
  ip netns exec "$name" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
done

ip link add server netns broker type veth peer name eth0 netns server
ip link add client4 netns broker type veth peer name eth0 netns client4
ip link add client6 netns broker type veth peer name eth0 netns client6

ip -n server addr add 46.105.5.1/24 dev eth0
ip -n server link set eth0 up
ip -n server route add default via 46.105.5.254

ip -n client4 addr add 198.51.100.2/24 dev eth0
ip -n client4 link set eth0 up
ip -n client4 route add default via 198.51.100.1

ip -n client6 addr add 2001:db8:c::2/64 dev eth0
ip -n client6 link set eth0 up
ip -n client6 route add default via 2001:db8:c::1

ip -n broker addr add 216.66.84.42/32 dev lo
ip -n broker addr add 46.105.5.254/24 dev server
ip -n broker addr add 198.51.100.1/24 dev client4
ip -n broker addr add 2001:db8:c::1/64 dev client6
for link in server client4 client6; do
  ip -n broker link set "$link" up
done
ip -n broker tunnel add he0 mode sit local 216.66.84.42 remote 46.105.5.1 ttl 255
ip -n broker link set he0 up mtu 1480
ip -n broker addr add 2001:470:1f12:f87::1/64 dev he0
ip -n broker route add 2001:470:1f13:f87::/64 via 2001:470:1f12:f87::2 dev he0
ip netns exec broker sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

exec ip netns exec server "$@"
