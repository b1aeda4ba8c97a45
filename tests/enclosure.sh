# enclosure.sh COMMAND...: runs it in a Debian of its own, where it cannot touch this machine's network, processes
# and configuration.
#
# The Debian is LAB_ROOT under an overlay, with every daemon installed and none running; LAB_CACHE (both from prepare
# in tests/lab/prepare.sh), this repository and /tmp are those of the machine. The network has nothing but lo. What is
# written anywhere else, and every process, is gone afterwards.
set -e
: "${LAB_ROOT:?is set by prepare in tests/lab/prepare.sh}"
if [ "${1:-}" != --inside ]; then
  exec unshare --net --mount --uts --pid --fork --kill-child bash "$0" --inside "$@"
fi
shift
folder=$PWD
repository=$(cd "$(dirname "$0")/.." && pwd)

scratch=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$scratch"
mkdir "$scratch"/{upper,work,root}
mount -t overlay -o "lowerdir=$LAB_ROOT,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$scratch/root"
cd "$scratch/root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock run/sshd
mount --bind /tmp tmp
for shared in "$LAB_CACHE" "$repository"; do
  mkdir -p ".$shared"
  mount --rbind "$shared" ".$shared"
done
mkdir old
pivot_root . old
cd /
umount -l /old
rmdir /old "$scratch"
export ENCLOSED=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# From here on these are the programs of the Debian inside: the machine need not have an ip(8).
hostname server.example.org
hostname >/etc/hostname
: >/etc/resolv.conf
printf '%s\n' '127.0.0.1 localhost server.example.org server' '::1 localhost' >/etc/hosts
ip link set lo up
cd "$folder"
# Not `exec`: PID 1 has to collect the daemons that have ended, else those who wait for their end wait for ever.
"$@"
