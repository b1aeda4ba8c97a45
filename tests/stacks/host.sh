# host.sh STACK: has another network stack than ifupdown bring up the guest's eth0, at this and at every later boot.
# systemd.sh runs it at the first boot, before systemd begins. STACK is networkd, netplan, netplan-networkmanager, or
# networkmanager.
set -e
stack=$1 units=/lib/systemd/system
cd /etc/systemd/system

# wanted UNIT TARGET: as `systemctl enable` does it
wanted() {
  mkdir -p "$2.wants"
  ln -sf "$units/$1" "$2.wants/$1"
}

# All of them wait for udev, and none is to share the interface with ifupdown.
rm -f systemd-udevd.service *.wants/networking.service
printf 'auto lo\niface lo inet loopback\n' >/etc/network/interfaces

case $stack in
  networkd)
    cat >/etc/systemd/network/20-eth0.network <<NETWORK
[Match]
Name=eth0

[Network]
Address=46.105.5.1/24
Gateway=46.105.5.254
NETWORK
    wanted systemd-networkd.service multi-user.target
    wanted systemd-networkd.socket sockets.target
    ln -sf $units/systemd-networkd.service dbus-org.freedesktop.network1.service
    ;;
  netplan*)
    renderer=networkd
    if [ "$stack" != netplan ]; then
      renderer=NetworkManager
      wanted NetworkManager.service multi-user.target
    fi
    mkdir -p /etc/netplan
    (
      umask 077
      cat >/etc/netplan/01-eth0.yaml <<YAML
network:
  version: 2
  renderer: $renderer
  ethernets:
    eth0:
      addresses: [46.105.5.1/24]
      routes:
        - to: default
          via: 46.105.5.254
YAML
    )
    ;;
  networkmanager)
    wanted NetworkManager.service multi-user.target
    (
      umask 077
      cat >/etc/NetworkManager/system-connections/eth0.nmconnection <<KEYFILE
[connection]
id=eth0
uuid=7d1d7c5c-6d3d-4a4e-8a4c-0a6a5f3c3c10
type=ethernet
interface-name=eth0

[ipv4]
method=manual
address1=46.105.5.1/24,46.105.5.254

[ipv6]
method=ignore
KEYFILE
    )
    ;;
  *) echo "no such stack: $stack" >&2 && exit 1 ;;
esac
