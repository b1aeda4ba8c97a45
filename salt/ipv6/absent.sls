{#- The way back. The kernel parameters keep their live values until the next boot. -#}
{%- from "ipv6/map.jinja" import ipv6, prelude with context %}

include: {{ prelude | json }}

{%- if ipv6.tunnel is defined %}

The tunnel is gone:
  he_tunnel.absent:
{%-   for key in ("name", "stack", "adopt") %}
    - {{ {key: ipv6.tunnel[key]} | json }}
{%-   endfor %}
    - require:
      - sls: ipv6.pillar
{%- endif %}

{%- for key in ipv6.get("sysctl", {}) %}

{{ (key ~ " is not set at boot") | json }}:
  file.replace:
    - name: {{ ipv6.lookup.sysctl_file }}
    - pattern: {{ ("^" ~ (key | string | regex_escape) ~ "\s*=.*\n") | json }}
    - repl: ""
    - ignore_if_missing: true
    - backup: false
    - require:
      - sls: ipv6.pillar
{%- endfor %}
