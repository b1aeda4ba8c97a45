# kernel.sh: the guest's kernel, in the tests' Debian that root.sh makes; it runs in there, as root.
#
# User-Mode Linux of Debian 12 traces each process (ptrace). The one of Debian's next release has a process catch its own
# system calls (seccomp), and Salt is two to three times as fast on it. It lacks iptables' legacy tables and WireGuard:
# these are some modules, made here of the same release's source in half a minute. Its libc comes with it.
set -euo pipefail
shopt -s inherit_errexit
lists=/tmp/kernel/lists uml=/usr/lib/uml
mkdir -p "$lists/partial" /tmp/kernel/new
cd /tmp/kernel
echo "deb http://deb.debian.org/debian forky main
deb http://deb.debian.org/debian trixie-backports main" >sources.list
from_there() { # a mirror may be some weeks old
  apt-get -q -o Dir::Etc::SourceList=/tmp/kernel/sources.list -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$lists" \
    -o Acquire::Check-Valid-Until=false "$@"
}
from_there update
from_there download user-mode-linux libc6 libgcc-s1
for deb in *.deb; do
  dpkg-deb -x "$deb" new
  rm "$deb"
done
release=$(ls new/usr/lib/uml/modules)

from_there download "linux-source-${release%.*}"
dpkg-deb -x linux-source-*.deb .
# No drivers are made but WireGuard, in the folder net/ with some others.
tar --strip-components=1 --one-top-level=source --exclude='*/drivers/[!n]*.[chS]' --exclude='*/drivers/n[!e]*.[chS]' \
  --exclude='*/drivers/net/[!w]*.[chS]' --exclude='*/drivers/net/wireless/*.[chS]' --exclude='*/Documentation/*.rst' \
  -xf usr/src/linux-source-*.tar.xz
cd source
# The modules have to be of the very release, and of the same configuration.
sed -ri "s/^SUBLEVEL =.*/SUBLEVEL = ${release##*.}/; s/^EXTRAVERSION =.*/EXTRAVERSION =/" Makefile
libraries=../new/usr/lib/x86_64-linux-gnu
setarch -R "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" ../new/usr/bin/linux.uml --showconfig | grep CONFIG_ >.config
made=(net/netfilter/x_tables.ko drivers/net/wireguard/wireguard.ko)
made+=(lib/crypto/lib{curve25519,chacha20poly1305}.ko)
echo "CONFIG_NETFILTER_XTABLES_LEGACY=y
CONFIG_WIREGUARD=m" >>.config
for family in ipv4:ip ipv6:ip6; do
  folder=net/${family%:*}/netfilter name=${family#*:}
  echo "CONFIG_${name^^}_NF_IPTABLES_LEGACY=m" >>.config
  made+=("$folder/${name}_tables.ko")
  for table in filter nat mangle raw; do
    echo "CONFIG_${name^^}_NF_${table^^}=m" >>.config
    made+=("$folder/${name}table_$table.ko")
  done
done
make --quiet ARCH=um olddefconfig
make --quiet ARCH=um -j"$(nproc)" KBUILD_MODPOST_WARN=1 "${made[@]}"

rm -rf "$uml"
mkdir -p "$uml/lib"
cp -a ../new/usr/lib/uml/modules "$uml"
for module in "${made[@]}"; do
  mkdir -p "$uml/modules/$release/kernel/${module%/*}"
  cp "$module" "$uml/modules/$release/kernel/$module"
done
mkdir -p base/lib
ln -s "$uml/modules" base/lib/modules
depmod -b base "$release"
# A path as long as the one it has: the kernel is found by this loader, and by the libraries that fence.sh names.
cp "$libraries"/{libc.so.6,libgcc_s.so.1} "$uml/lib"
cp "$libraries/ld-linux-x86-64.so.2" "$uml/lib/ld-linux.2"
sed "s#/lib64/ld-linux-x86-64.so.2#$uml/lib/ld-linux.2#" ../new/usr/bin/linux.uml >/usr/bin/linux.uml
rm -rf /tmp/kernel
