#!/bin/bash
# root.sh DIRECTORY: makes the tests' Debian, small and clean: what the guest and the enclosure run in.
#
# It is made once and never written to again: both work in an overlay above it.  Neither has a network, so
# whatever a test wants from the package registries is put in here. No daemon runs by itself in it.
set -euo pipefail
root=$1
[ -e "$root" ] && exit 0
kernel=$(cd "$(dirname "$0")" && pwd)/kernel.sh
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 kernel

packages=(
  user-mode-linux kmod                      # the guest's kernel and its modules
  make flex bison bc xz-utils               # what kernel.sh makes a faster one with
  iproute2 iputils-ping ifupdown            # what a server has
  python3 netbase procps ca-certificates openssl
  iptables iptables-persistent ipset-persistent
  tcpdump                                   # the proof on the wire
  wireguard-tools                           # the carrier of a tunnel
  openssh-server openssh-client             # salt-ssh
  git                                       # gitfs
  dovecot-imapd dovecot-pop3d postfix ejabberd apache2 # the mission's four services
  nginx haproxy lighttpd vsftpd prosody     # those whose configuration is read as well
  systemd                                   # its systemd-socket-activate; it is not PID 1 here
  bind9 bind9-dnsutils                      # the zone in which the AAAA records are published
  knot pdns-server pdns-backend-sqlite3     # the same at other name servers
  nftables                                  # what may take the rules away at boot
  python3-venv libpython3-dev gcc libc6-dev # what the virtual environments are made with: timelib has no wheel
  unbound postgresql mariadb-server stunnel4 coturn mumble-server # more of them
  redis-server memcached nodejs caddy prometheus-node-exporter squid openvpn socat php-fpm gunicorn chrony # whose sockets are looked at
  libdb5.3 libgnutls-dane0 libidn12 # exim's libraries
  udev dbus netplan.io network-manager      # the other network stacks; with systemd comes networkd
)

# The other two implementations of ifup(8), the other mail server, and ufw, which cannot be beside iptables-persistent,
# are unpacked beside the system: Debian allows one at a time.
others='
  cd "$1/opt" && chroot "$1" sh -c "cd /opt && apt-get download -q ifupdown-ng ifupdown2 exim4-base exim4-daemon-light exim4-config ufw"
  for deb in *.deb; do dpkg-deb -x "$deb" "${deb%%_*}"; rm "$deb"; done'

echo "Making the tests' Debian in $root (once, about three minutes) ..."
new=$root.new
rm -rf "$new"
mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" --skip=cleanup/apt \
  --customize-hook='chroot "$1" apt-get clean' \
  --customize-hook='rm -rf "$1/etc/iptables"' \
  --customize-hook="$others" \
  --customize-hook='chroot "$1" apt-get install -q -y --no-install-recommends --reinstall --download-only \
    python3-netaddr python3-dnspython iptables-persistent' \
  --customize-hook='chroot "$1" bash -s <"$kernel" || chroot "$1" rm -rf /tmp/kernel' \
  bookworm "$new" >"$new.log" 2>&1 || { tail -n 40 "$new.log" >&2; exit 1; }
[ -e "$new/usr/lib/uml/lib" ] || {
  tail -n 40 "$new.log" >&2
  echo "The guest has Debian 12's own kernel, on which all that is tried in it takes two to three times as long." >&2
}
# Without /sbin/init, which network-manager brings, it boots neither way by itself: the tests say what it does.
rm -f "$new/etc/resolv.conf" "$new/etc/hostname" "$new/sbin/init" "$new.log"
mv "$new" "$root"
