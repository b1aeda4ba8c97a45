# server-2011.sh: the server as it was in 2011: services and firewall for IPv4 only, and running.
set -euo pipefail
sed -i 's/^Listen 80$/Listen 0.0.0.0:80/' /etc/apache2/ports.conf
sed -i 's/^#listen = \*, ::$/listen = */' /etc/dovecot/dovecot.conf
postconf -e 'inet_protocols = ipv4' 'mynetworks = 127.0.0.0/8'
sed -i '/^    ip: "::"$/d' /etc/ejabberd/ejabberd.yml
# A database that listens everywhere, since the firewall is before it. (MariaDB does not start in the guest.)
printf '%s\n' 'port 3306' 'bind * -::*' 'protected-mode no' >>/etc/redis/redis.conf
for service in apache2 dovecot postfix redis-server ejabberd; do
  service "$service" start </dev/null >/dev/null 2>&1 || { echo "$service does not start"; exit 1; }
done

# As everybody had them in a script.
iptables -P INPUT DROP
iptables -P FORWARD DROP
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
iptables -A INPUT -p icmp -j ACCEPT
iptables -A INPUT -p tcp --dport 22 -j ACCEPT
iptables -A INPUT -p tcp -m multiport --dports 25,80,143,5222,5269 -j ACCEPT
