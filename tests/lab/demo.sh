#!/bin/bash
# demo.sh: what bin/demo shows. Runs on the lab's server, in the guest.
set -euo pipefail

# The minion's configuration of the README, with the pillar of pillar.example.
mkdir -p /etc/salt /srv/pillar
cp pillar.example /srv/pillar/ipv6.sls
printf 'base:\n  "*":\n    - ipv6\n' >/srv/pillar/top.sls
cat >/etc/salt/minion <<EOF
file_client: local
file_roots:
  base:
    - $PWD/salt
module_dirs:
  - $PWD
pillar_roots:
  base:
    - /srv/pillar
EOF

failed=0

# reach WHO ADDRESS WHAT EXPECTED
reach() {
  local answer=no
  ip netns exec "$1" ping -n -q -c 2 -i 0.2 -W 1 "$2" >/dev/null 2>&1 && answer=yes
  printf '  %-8s -> %-24s %-30s %s\n' "$1" "$2" "$3" "$answer"
  [ "$answer" = "$4" ] || { echo "  (expected: $4)"; failed=1; }
}

# connect WHO ADDRESS EXPECTED: the four services
connect() {
  local name port answer
  while read -r name port; do
    answer=no
    ip netns exec "$1" timeout 2 bash -c "</dev/tcp/$2/$port" 2>/dev/null && answer=yes
    printf '  %-8s -> %-24s %-30s %s\n' "$1" "$2" "$name, port $port" "$answer"
    [ "$answer" = "$3" ] || { echo "  (expected: $3)"; failed=1; }
  done <<<"$services"
}

services="Apache 80
Dovecot 143
Postfix 25
ejabberd 5222"

who_reaches_what() { # whether IPv6 is expected to work
  reach client4 46.105.5.1 "the server, over IPv4" yes
  reach client6 2001:470:1f13:f87::77 "the server, over IPv6" "$1"
  reach server 2001:db8:c::2 "an IPv6 host, from the server" "$1"
  connect client4 46.105.5.1 yes
  connect client6 2001:470:1f13:f87::77 "$1"
}

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

apply() { # what `state.apply ipv6` is expected to say of changes
  # Python 3.11 warns of a module that Salt imports; that is not what this is about.
  salt-call --local --retcode-passthrough --state-output=changes --state-verbose=true state.apply ipv6 "${@:2}" 2>&1 |
    grep -vE "'crypt' is deprecated|^  import crypt " | tee /tmp/said
  grep -qE "^Failed: +0" /tmp/said || failed=1
  local changed=no
  grep -qE "^Succeeded: .*changed=" /tmp/said && changed=yes
  [ "$changed" = "$1" ] || { echo "(expected changes: $1)"; failed=1; }
}

step "The server of 2011: Apache, Dovecot, Postfix and ejabberd, for IPv4 only"
bash tests/lab/services.sh

step "Before: who reaches what"
who_reaches_what no
ip -n broker neigh flush all

step "salt-call --local state.apply ipv6 test=True    # what would change"
apply yes test=True
who_reaches_what no

step "salt-call --local state.apply ipv6"
tcpdump -i eth0 -n -U -w /tmp/wire.pcap ip proto 41 2>/dev/null &
wire=$!
apply yes

step "After: who reaches what"
who_reaches_what yes
sleep 0.5
kill "$wire"
wait "$wire" || :

step "On the wire, between the server and the broker"
tcpdump -n -r /tmp/wire.pcap 2>/dev/null | cut -d' ' -f2- | grep 'echo request' | tail -n 2
tcpdump -n -r /tmp/wire.pcap "src 216.66.84.42" 2>/dev/null | grep -q "2001:db8:c::2 > 2001:470:1f13:f87::77: ICMP6, echo request" || failed=1

step "salt-call --local state.apply ipv6              # once more: nothing left to do"
apply no

[ "$failed" = 0 ] || { echo; echo "The demo did not go as it should."; exit 1; }
