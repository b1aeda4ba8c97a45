# machine.sh DIRECTORY COMMAND...: runs it as on a machine of its own, whose disk is this directory: as root, in a copy
# of the repository in /srv/dualstack.
#
# What it has of this machine is the kernel, the network, and the way to the registries of Debian and of Python: name
# servers, proxies, certificates. Wheels that lie on this machine's disk are not seen. What is installed lands in the
# directory; every mount is gone afterwards. Run this in a PID namespace that ends with you.
set -euo pipefail
if [ "$1" != --inside ]; then
  exec unshare --mount --uts --ipc bash "$0" --inside "$@"
fi
machine=$2
shift 2
repository=$(cd "$(dirname "$0")/../.." && pwd)

reached=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8)
for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY SSL_CERT_FILE \
  PIP_{INDEX_URL,PROXY,CERT,TRUSTED_HOST,DEFAULT_TIMEOUT}; do
  [ -z "${!name:-}" ] || reached+=("$name=${!name}")
done
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt \
  "${SSL_CERT_FILE:-}" "${PIP_CERT:-}"; do
  [ ! -e "$file" ] || cp -L --parents --remove-destination "$file" "$machine"
done
apt-config dump Acquire | grep -i proxy >"$machine/etc/apt/apt.conf.d/50proxy" || :

mount --bind "$machine" "$machine"
cd "$machine"
mkdir -p srv/dualstack old
tar -C "$repository" --exclude=.git --exclude=.mypy_cache --exclude=__pycache__ -c . | tar -C srv/dualstack -x
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys # the kernel parameters are those of this machine
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs tmp
hostname clean
pivot_root . old
cd /srv/dualstack
umount -l /old
exec env -i "${reached[@]}" "$@"
