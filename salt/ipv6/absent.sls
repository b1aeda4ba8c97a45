{#-
  The way back, in the reverse order: nobody is sent to an address that is about to go. IPv4 stays as it was, and so do
  the firewall and the services. The kernel parameters keep their live values until the next boot; and one on which a
  service has come to depend is kept.
-#}
{%- from "ipv6/map.jinja" import ipv6, records with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.deps"] if records else [])) | json }}

{%- if records %}

The AAAA records are withdrawn:
  aaaa.withdrawn:
{%-   for key, value in records.items() if key != "ttl" %}
    - {{ {key: value} | json }}
{%-   endfor %}
    - require:
      - sls: ipv6.pillar
      - What DNS needs is installed
{%- endif %}

{%- if ipv6.tunnel is defined %}

The tunnel is gone:
  he_tunnel.absent:
{%-   for key in ("name", "stack", "adopt") %}
    - {{ {key: ipv6.tunnel[key]} | json }}
{%-   endfor %}
    - require:
      - sls: ipv6.pillar
{%-   if records %}
      - The AAAA records are withdrawn
{%-   endif %}
{%- endif %}

{%- set listeners = "net.ipv6.bindv6only" %}
{%- for key in ipv6.get("sysctl", {}) %}

{{ (key ~ " is not set at boot") | json }}:
  file.replace:
    - name: {{ ipv6.lookup.sysctl_file }}
    - pattern: {{ ("^" ~ (key | string | regex_escape) ~ "\\s*=.*\\n") | json }}
    - repl: ""
    - ignore_if_missing: true
    - backup: false
    - require:
      - sls: ipv6.pillar
{%-   if key == listeners %}
    - unless:  # some service would lose a family without it, or not start
      - fun: service_listen.harmed
        bindv6only: 0
{%-   endif %}
{%- endfor %}
