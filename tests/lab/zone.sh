# zone.sh: the zone example.org and the reverse zone of the routed prefix, on a BIND of the broker's, and a resolver for
# the clients.
#
# Of all their records, the key of pillar.example may change the AAAA records of two names, and the PTR records.
set -euo pipefail
folder=/run/zone
rm -rf "$folder" # and what was changed in an earlier one
mkdir "$folder"
cat >"$folder/example.org" <<'ZONE'
$TTL 300
@     SOA ns hostmaster 1 3600 600 86400 300
      NS  ns
ns    A   192.0.2.53
www   A   46.105.5.1
mail  A   46.105.5.1
ZONE
reverse=7.8.f.0.3.1.f.1.0.7.4.0.1.0.0.2.ip6.arpa
cat >"$folder/$reverse" <<'ZONE'
$TTL 300
@     SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 300
      NS  ns.example.org.
ZONE
cat >"$folder/named.conf" <<CONF
options {
  directory "$folder";
  pid-file "$folder/named.pid";
  session-keyfile "$folder/session.key";
  listen-on { 192.0.2.53; 198.51.100.1; };
  listen-on-v6 { 2001:db8:c::1; };
  recursion no;
  dnssec-validation no;
};
controls { };
key "server.example.org" {
  algorithm hmac-sha256;
  secret "bm90IGEgc2VjcmV0OiB0aGUga2V5IG9mIHRoZSBkZW1v";
};
zone "example.org" {
  type primary;
  file "example.org";
  update-policy {
    grant server.example.org name www.example.org AAAA;
    grant server.example.org name mail.example.org AAAA;
  };
};
zone "$reverse" {
  type primary;
  file "$reverse";
  update-policy { grant server.example.org zonesub PTR; };
};
CONF

ip -n broker addr replace 192.0.2.53/32 dev lo
ip netns exec broker named -c "$folder/named.conf"

# What `ip netns exec` shows a client as its /etc/resolv.conf.
for client in "client4 198.51.100.1" "client6 2001:db8:c::1"; do
  read -r name address <<<"$client"
  mkdir -p "/etc/netns/$name"
  echo "nameserver $address" >"/etc/netns/$name/resolv.conf"
done
