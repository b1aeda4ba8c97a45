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

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

unexpected() { echo "  (expected: $1)"; failed=1; }

# greet CLIENT FAMILY EXPECTED: what the services say to a client that looks the server up by its name
greet() {
  local port said
  while read -r port said; do
    printf '  %-8s -> www.example.org over IPv%s, port %-5s %s\n' "$1" "$2" "$port" "$said"
    case "$port $3 $said" in
    3306\ *\ nothing:* | [!3]*\ no\ nothing:*) ;;
    3306\ * | *\ no\ * | *\ yes\ nothing:*) unexpected "$3" ;;
    esac
  done <<<"$(ip netns exec "$1" python3 tests/lab/greet.py "$2" www.example.org 25 80 143 3306 5222)"
}

who_reaches_what() { # whether IPv6 is expected to work
  greet client4 4 yes
  greet client6 6 "$1"
}

call() { # Python 3.11 warns of a module that Salt imports; that is not what this is about
  salt-call --local --retcode-passthrough "$@" 2>&1 | grep -vE "'crypt' is deprecated|^  import crypt "
}

apply() { # what `state.apply ipv6` is expected to say of changes
  local changed=no
  call --state-output=changes --state-verbose=true state.apply ipv6 "${@:2}" | tee /tmp/said
  grep -qE "^Failed: +0" /tmp/said || failed=1
  grep -qE "^Succeeded: .*changed=" /tmp/said && changed=yes
  [ "$changed" = "$1" ] || unexpected "changes: $1"
}

step "The server of 2011: mail, jabber and web for IPv4 only, iptables, and no IPv6"
bash tests/lab/server-2011.sh
bash tests/lab/zone.sh

step "Before: who reaches what"
who_reaches_what no

step "salt-call --local state.apply ipv6 test=True    # what would change"
apply yes test=True

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
tcpdump -n -r /tmp/wire.pcap "src 216.66.84.42" 2>/dev/null | cut -d' ' -f2- | grep 'IP6 2001:db8:c::2\.[0-9]* > 2001:470:1f13:f87::77\.25:' | head -n 2 | grep . || failed=1

step "salt-call --local ipv6.report                   # the server at a glance"
call ipv6.report

step "salt-call --local state.apply ipv6              # once more: nothing left to do"
apply no

[ "$failed" = 0 ] || { echo; echo "The demo did not go as it should."; exit 1; }
