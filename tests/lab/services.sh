# services.sh: the server's services as they were configured in 2011, for IPv4 only, and running.
set -euo pipefail
sed -i 's/^Listen 80$/Listen 0.0.0.0:80/' /etc/apache2/ports.conf
sed -i 's/^#listen = \*, ::$/listen = */' /etc/dovecot/dovecot.conf
postconf -e 'inet_protocols = ipv4' 'mynetworks = 127.0.0.0/8'
sed -i '/^    ip: "::"$/d' /etc/ejabberd/ejabberd.yml
for service in apache2 dovecot postfix ejabberd; do
  service "$service" start </dev/null >/dev/null 2>&1 || { echo "$service does not start"; exit 1; }
done
