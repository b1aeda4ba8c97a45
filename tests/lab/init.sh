#!/bin/bash
# PID 1 of the guest: builds an overlay above the read-only root, enters it, runs the command, powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
export LIBMOUNT_FORCE_MOUNT2=always # the programs of Debian 13 would not pass hostfs a bare path

off() { echo o >/proc/sysrq-trigger; sleep 20; }
die() { echo "init: $*"; off; }

# run_command: with its output and its status where the machine looks for them; and the end of the guest
run_command() {
  cd / || die "no /"
  bash /run/control/command >/run/control/output 2>&1 </dev/null
  echo $? >/run/control/exit.new
  mv /run/control/exit.new /run/control/exit
  off
}
[ "$1" != command ] || run_command

if [ "$1" != inside ]; then
  mount -t proc proc /proc || die "no /proc"
  modules=/usr/lib/uml/modules/$(uname -r)
  insmod "$modules/kernel/fs/overlayfs/overlay.ko" || die "no overlay file system"
  # This hides the folders below /mnt; hostfs still reaches them by path.
  mount -t tmpfs -o mode=755,size=75% tmpfs /mnt || die "no tmpfs"
  mkdir /mnt/new /mnt/disk
  # Without a disk, this is memory.
  [ ! -e /dev/ubda ] || mount -t ext4 /dev/ubda /mnt/disk || die "no disk"
  mkdir -p /mnt/disk/upper /mnt/disk/work
  mount -t overlay -o lowerdir=/,upperdir=/mnt/disk/upper,workdir=/mnt/disk/work overlay /mnt/new || die "no overlay"
  cd /mnt/new || die "no new root"

  mount -t proc -o nosuid,nodev,noexec proc proc
  mount -t sysfs -o nosuid,nodev,noexec sysfs sys
  mount -t devtmpfs -o mode=755 devtmpfs dev
  mkdir -p dev/pts dev/shm
  mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=1777 tmpfs tmp
  mkdir -p run/lock run/network run/sshd run/control
  mount -t hostfs -o /mnt/control none run/control || die "no control folder"
  mkdir -p usr/lib/modules
  mount --bind usr/lib/uml/modules usr/lib/modules

  # A share looks writable in the guest; what is written to it stays in the guest.
  while read -r number folder; do
    mkdir -p "/mnt/share$number/"{lower,upper,work} ".$folder"
    mount -t hostfs -o "ro,/mnt/share$number" none "/mnt/share$number/lower" || die "no share $folder"
    mount -t overlay -o "lowerdir=/mnt/share$number/lower,upperdir=/mnt/share$number/upper,workdir=/mnt/share$number/work" \
      overlay ".$folder" || die "no overlay for $folder"
  done <run/control/shares

  # The name resolves in both families and nothing waits for a name server, which does not exist.
  hostname server.example.org
  [ ! -e etc/hostname ] || exec switch_root . /bin/bash /run/control/init.sh inside # not the first boot of this disk
  echo server.example.org >etc/hostname
  : >etc/resolv.conf
  printf '%s\n' '127.0.0.1 localhost' '::1 localhost' '46.105.5.1 server.example.org server' \
    '2001:470:1f13:f87::77 server.example.org server' >etc/hosts
  exec switch_root . /bin/bash /run/control/init.sh inside
fi

# These kernels know only the legacy backend.
for command in iptables ip6tables; do
  update-alternatives --quiet --set $command /usr/sbin/$command-legacy || die "no $command"
done
# Here the kernel of Debian 12 has modules, a stock Debian kernel not.
[ -e /proc/net/if_inet6 ] || modprobe -a ipv6 unix || die "no IPv6"
ip link set lo up
# Another PID 1, which calls `init.sh command` when it has booted.
[ ! -e /run/control/boot ] || exec bash /run/control/boot
ulimit -n 4096
run_command
