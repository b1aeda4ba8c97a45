# fence.sh CONTROL ROOT SHARES... -- KERNEL ARGUMENTS...   (SHARES: NUMBER FOLDER, one pair each)
#
# Starts User-Mode Linux so that it cannot touch the machine.  guest.py runs this in mount, network, IPC, UTS
# and PID namespaces of its own; here the view of the file system shrinks to the guest's root and the shares,
# all read-only but the control folder.  `hostfs=DIR` is no jail (`mount -t hostfs -o /../..` leaves it),
# pivot_root is.
set -e
control=$1 root=$2
shift 2
mount --make-rprivate /
jail=$control/jail
mkdir "$jail"
mount --bind "$root" "$jail"
mount -o remount,bind,ro "$jail"
mount -t tmpfs -o mode=755 tmpfs "$jail/mnt"

mkdir "$jail/mnt/control" "$jail/mnt/kernel" "$jail/mnt/old"
mount --bind "$control/shared" "$jail/mnt/control"
while [ "$1" != -- ]; do
  mkdir "$jail/mnt/share$1"
  mount --bind "$2" "$jail/mnt/share$1"
  mount -o remount,bind,ro "$jail/mnt/share$1"
  shift 2
done
shift

# The kernel reads /proc; read-only, so that no sysctl of the machine is within reach.
mount -t proc -o ro,nosuid,nodev,noexec proc "$jail/proc"
mount -t tmpfs -o mode=755 tmpfs "$jail/dev"
mknod -m 666 "$jail/dev/null" c 1 3
mknod -m 666 "$jail/dev/zero" c 1 5
mknod -m 444 "$jail/dev/random" c 1 8
mknod -m 444 "$jail/dev/urandom" c 1 9
# The guest's memory is a file in here, and the kernel maps it executable.
mkdir "$jail/dev/shm"
mount -t tmpfs -o mode=1777,size=100% tmpfs "$jail/dev/shm"

cd "$jail"
pivot_root . mnt/old
cd /
umount -l /mnt/old
rmdir /mnt/old
if grep -q amx_tile /proc/cpuinfo; then
  gcc -O2 -shared -fPIC -o /mnt/kernel/xstate.so /mnt/control/xstate.c
  export LD_PRELOAD=/mnt/kernel/xstate.so # setpriv does not mind
fi
set +e
# Not `exec`: the kernel must not be PID 1.  These four capabilities are what hostfs needs.
setpriv --bounding-set=-all,+chown,+dac_override,+fowner,+fsetid env LD_LIBRARY_PATH=/usr/lib/uml/lib "$@" </dev/null
echo "the kernel ended with $?"
