# enclosure.sh COMMAND...: runs it where it cannot touch the machine's network, firewall and configuration.
#
# The network namespace has nothing but lo. What is written to /etc, /var/lib and /run is gone afterwards. What
# Debian loads the firewall with at boot is there as if it were installed (BOOT_ROOT, from prepare.sh).
set -e
: "${BOOT_ROOT:?is set by prepare in tests/lab/prepare.sh}"
if [ "${1:-}" != --inside ]; then
  exec unshare --net --mount bash "$0" --inside "$@"
fi
shift
scratch=$(mktemp -d)
mount -t tmpfs tmpfs "$scratch"
for folder in /etc /var/lib; do
  mkdir -p "$scratch/upper$folder" "$scratch/work$folder"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=$scratch/upper$folder,workdir=$scratch/work$folder" "$folder"
done
for folder in /usr/share /usr/sbin; do
  mount -t overlay overlay -o "lowerdir=$BOOT_ROOT$folder:$folder" "$folder"
done
mount -t tmpfs tmpfs /run
umount -l "$scratch"
rmdir "$scratch"
ip link set lo up
ENCLOSED=1 exec "$@"
