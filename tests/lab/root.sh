#!/bin/bash
# root.sh DIRECTORY: makes the guest's root, a small clean Debian with the kernel of User-Mode Linux in it.
#
# It is made once and never written to again: the guest works in an overlay above it.  A guest has no
# network, so whatever a test wants from the package registries is put in here.
set -euo pipefail
root=$1
[ -e "$root" ] && exit 0
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

packages=(
  user-mode-linux kmod                      # the guest's kernel and its modules
  iproute2 iputils-ping ifupdown            # what a server has
  python3 netbase procps ca-certificates
  iptables iptables-persistent              # the guest's kernel knows only the legacy backend
  tcpdump                                   # the proof on the wire
  openssh-server openssh-client             # salt-ssh
)

# The other two implementations of ifup(8) are unpacked beside the system: Debian allows one at a time.
others='
  cd "$1/opt" && chroot "$1" sh -c "cd /opt && apt-get download -q ifupdown-ng ifupdown2"
  for deb in *.deb; do dpkg-deb -x "$deb" "${deb%%_*}"; rm "$deb"; done'

echo "Making the lab's Debian in $root (once, about a minute) ..."
new=$root.new
rm -rf "$new"
mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" --skip=cleanup/apt \
  --customize-hook='chroot "$1" apt-get clean' \
  --customize-hook='chroot "$1" update-alternatives --set iptables /usr/sbin/iptables-legacy' \
  --customize-hook='chroot "$1" update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy' \
  --customize-hook='rm -rf "$1/etc/iptables"' \
  --customize-hook="$others" \
  --customize-hook='chroot "$1" apt-get install -q -y --no-install-recommends --download-only python3-netaddr' \
  bookworm "$new" >"$new.log" 2>&1 || { tail -n 40 "$new.log" >&2; exit 1; }
rm -f "$new/etc/resolv.conf" "$new/etc/hostname" "$new.log"
mv "$new" "$root"
