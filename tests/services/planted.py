"""
Configurations of all services, with secrets of many kinds: in the lines that change, beside them, and in files that are
one line.
"""

from __future__ import annotations

import os

# Nobody else on this machine has this one.
MARK = f"s3cr{os.getpid()}q"


def secret(kind: int) -> str:
    """The secret of a kind: letters and digits, of which the beginning tells that it is one."""
    return f"{MARK}{kind:02}word"


NGINX = f"""\
events {{}} http {{ server {{ listen 80; set $api_key "{secret(1)}"; \
location / {{ proxy_set_header Authorization "Bearer {secret(2)}"; proxy_set_header Cookie 'a={secret(3)}'; }} }} \
server {{ listen 8081; }} }}
"""
HAPROXY = f"""\
userlist people
    user one password $6$saltsalt${secret(4)}.abcdefgh/
    user two insecure-password {secret(5)}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend web
    bind 0.0.0.0:80   # the password is {secret(6)}
    http-request set-header Authorization "Basic {secret(7)}"
listen stats
    bind 0.0.0.0:1936
    stats enable
    stats auth admin:{secret(8)}
"""
APACHE = f"""\
Listen 0.0.0.0:80
SetEnv DB_PASS {secret(9)}
#-----BEGIN RSA PRIVATE KEY-----
#MIIE{secret(10)}
#-----END RSA PRIVATE KEY-----
<IfModule headers_module>
    RequestHeader set Proxy-Authorization "Basic {secret(11)}"
</IfModule>
<VirtualHost 0.0.0.0:80>
    <IfModule authnz_ldap_module>
        AuthLDAPBindPassword "{secret(12)} of ours"
    </IfModule>
</VirtualHost>
"""
LIGHTTPD = f"""\
server.document-root = "/var/www"
server.port = 80
auth.backend.ldap.bind-pw = "{secret(13)}"
$SERVER["socket"] == "0.0.0.0:8080" {{ setenv.set-environment = ( "DB_PASSWORD" => "{secret(14)}" ) }}
"""
POSTFIX = f"""\
compatibility_level = 3.6
# relay's passphrase: {secret(15)}
inet_protocols = ipv4
smtp_sasl_password_maps =
    static:user:{secret(16)}
mynetworks = 127.0.0.0/8
"""
DOVECOT = f"""\
listen = * # token {secret(17)}
protocols = imap
ssl = no
ssl_key_password = {secret(18)}
plugin {{
  api_credentials = me:{secret(19)}
}}
passdb {{
  driver = static
  args = nologin password={{SSHA}}{secret(20)}
}}
userdb {{
  driver = passwd
}}
"""
EJABBERD_YML = f"""\
hosts: [localhost]
sql_password: {secret(21)}
listen:
  - {{port: 5280, module: ejabberd_http, custom_headers: {{X-Auth: "{secret(22)}"}}}}
  -
    port: 5347
    module: ejabberd_service
    hosts:
      icq.example.org:
        password: "{secret(23)}"
"""
EJABBERD_CFG = f"""\
{{hosts, ["localhost"]}}. {{odbc_server, {{mysql, "localhost", "jabber", "jabber", "{secret(24)}"}}}}.
{{listen, [{{5222, ejabberd_c2s, [{{access, c2s}}]}}, {{5347, ejabberd_service, [{{host, "icq", \
[{{password, "{secret(25)}"}}]}}]}}]}}.
"""
PROSODY = f"""\
c2s_interfaces = {{ "*" }}; s2s_interfaces = {{ "*" }}; component_secret = "{secret(26)}"; \
sql = {{ driver = "MySQL", database = "x", password = "{secret(27)}" }}
modules_enabled = {{ "roster", "saslauth", "tls", "dialback", "disco" }}
VirtualHost "localhost"
"""
SSH = f"""\
AddressFamily inet
# the private key is {secret(28)}
Match user nobody
    SetEnv API_TOKEN={secret(29)}
    ForceCommand curl https://me:{secret(30)}@example.org/
"""
SYSTEMD = f"""\
[Socket]
ListenStream=0.0.0.0:7777
ListenStream=/run/{secret(31)}
ExecStartPre=/bin/true --password={secret(32)}
"""
VSFTPD = f"listen=YES\nftpd_banner=the token is {secret(33)}\n# psk={secret(34)}\n"

CONFIGURATIONS = {
    "nginx": {"/etc/nginx/nginx.conf": NGINX},
    "haproxy": {"/etc/haproxy/haproxy.cfg": HAPROXY},
    "apache2": {"/etc/apache2/ports.conf": APACHE},
    "lighttpd": {"/etc/lighttpd/lighttpd.conf": LIGHTTPD},
    "postfix": {"/etc/postfix/main.cf": POSTFIX},
    "dovecot": {"/etc/dovecot/dovecot.conf": DOVECOT},
    "ejabberd": {"/etc/ejabberd/ejabberd.yml": EJABBERD_YML},
    "ejabberd.cfg": {"/etc/ejabberd/ejabberd.cfg": EJABBERD_CFG},
    "prosody": {"/etc/prosody/prosody.cfg.lua": PROSODY},
    "ssh": {"/etc/ssh/sshd_config": SSH},
    "systemd": {"/etc/systemd/system/x.socket": SYSTEMD},
    "vsftpd": {"/etc/vsftpd.conf": VSFTPD},
}
# In place of the whole configuration: what a plug-in or a program refuses.
BROKEN = {
    "nginx": NGINX.replace("server {", f"server {{ location / {{ proxy_pass http://user:{secret(40)}@x; }}", 1),
    "haproxy": HAPROXY.replace("stats enable", f"stats enable\n    stats auth admin:{secret(41)} and more\n    wrong"),
    "apache2": APACHE + f"SSLPassPhraseDialog {secret(42)}\n",
    "lighttpd": LIGHTTPD + f'password := "{secret(43)}\n',
    "postfix": POSTFIX + f"password {secret(44)}\n",
    "dovecot": DOVECOT + f"db_password = {secret(45)}\n",
    "ejabberd": EJABBERD_YML.replace("port: 5347", f"port: {secret(46)}"),
    "ejabberd.cfg": EJABBERD_CFG.replace("{listen, [", f'{{listen "{secret(47)}", ['),
    "prosody": PROSODY + f"interfaces = {{ [[{secret(48)}\n",
    "ssh": SSH.replace("inet", secret(49), 1),
    "systemd": SYSTEMD.replace("0.0.0.0:7777", f"{secret(50)}:7777"),
    "vsftpd": VSFTPD.replace("YES", secret(51)),
}
