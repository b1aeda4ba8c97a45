#!/bin/bash
# systemd.sh REPOSITORY: boots the guest with systemd as PID 1; init.sh becomes this.
#
# The guest's own network is the server of topology.sh; its eth0 is down until the boot brings it up by
# /etc/network/interfaces. Before systemd begins, somebody listens on all ports that knock.py tries, and knocks at them
# from both sides. When the boot is over, a unit runs the guest's command.
set -e
cd "$1"

if [ ! -e /etc/machine-id.made ]; then # the first boot of this disk
  echo 0123456789abcdef0123456789abcdef >/etc/machine-id
  touch /etc/machine-id.made
  : >/etc/fstab
  # The daemons that this Debian has are not what is looked at here.
  cd /etc/systemd/system
  for link in *.wants/*; do
    case ${link##*/} in netfilter-persistent.service | networking.service) ;; *) rm "$link" ;; esac
  done
  rm -f /etc/rc[2-5].d/S* /etc/network/if-*.d/*
  for unit in systemd-{udevd,logind,pstore,binfmt,random-seed,update-utmp,update-utmp-runlevel,journal-flush} \
    getty@tty1 getty-static console-getty modprobe@{loop,dm_mod,fuse,configfs,efi_pstore,drm}; do
    ln -s /dev/null "$unit.service"
  done
  cat >lab.service <<UNIT
[Unit]
Description=The lab's command
After=multi-user.target
[Service]
ExecStart=/bin/bash /run/control/init.sh command
KillMode=process
UNIT
  mkdir lab.target.wants
  ln -s ../lab.service lab.target.wants/
  printf '[Unit]\nRequires=multi-user.target\nAfter=multi-user.target\n' >lab.target
  cat >/etc/network/interfaces <<INTERFACES
# The host's own interfaces.
source /etc/network/interfaces.d/*

auto lo eth0
iface lo inet loopback
iface eth0 inet static
    address 46.105.5.1/24
    gateway 46.105.5.254
INTERFACES
  [ ! -e /run/control/first ] || bash /run/control/first
  sync # the power may be cut within seconds, and this is as old as the host
  cd "$1"
fi

mkdir -p /run/netns
ip netns attach server 1
bash tests/lab/topology.sh true
ip addr flush dev eth0
ip link set eth0 down
/usr/bin/python3 tests/lab/knock.py listen &
ip netns exec client4 /usr/bin/python3 tests/lab/knock.py 46.105.5.1 &
ip netns exec client6 /usr/bin/python3 tests/lab/knock.py 2001:470:1f13:f87::77 2001:470:1f12:f87::2 &

# systemd mounts its own; /run is kept.
umount -l /dev/shm /dev/pts /sys
exec /lib/systemd/systemd --unit=lab.target --log-target=kmsg --show-status=0
