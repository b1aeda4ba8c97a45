{#-
  The way back, in the reverse order, so that no record points to a removed address. IPv4, the firewall and the services
  stay as they are. The kernel parameters keep their live values until the next boot; one on which a service now depends
  is kept.
-#}
{%- from "ipv6/map.jinja" import ipv6, lookup with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.deps"] if "dns" in ipv6 else [])) | json }}

{%- if "dns" in ipv6 %}

The AAAA records are withdrawn:
  aaaa.withdrawn:
    - pillar: ipv6:dns
    - require:
      - sls: ipv6.pillar
      - What DNS needs is installed
{%- endif %}

{%- if "tunnel" in ipv6 %}

The tunnel is gone:
  he_tunnel.absent:
    - pillar: ipv6:tunnel
    - require:
      - sls: ipv6.pillar
{%-   if "dns" in ipv6 %}
      - The AAAA records are withdrawn
{%-   endif %}
{%- endif %}

{%- set listeners = "net.ipv6.bindv6only" %}
{%- set file = ipv6.get("lookup", {}).get("sysctl_file") %}
{%- for key in ipv6.get("sysctl", {}) %}

{{ (key ~ " is not set at boot") | json }}:
  file.replace:
    - name: {{ (file if file is string else lookup.sysctl_file) | json }}
    - pattern: {{ ("^" ~ (key | regex_escape) ~ "\\s*=.*\\n") | json }}
    - repl: ""
    - ignore_if_missing: true
    - backup: false
    - require:
      - sls: ipv6.pillar
{%-   if key == listeners %}
    - unless:  # without it, some service would lose a family, or not start
      - fun: service_listen.harmed
        bindv6only: 0
{%-   endif %}
{%- endfor %}
