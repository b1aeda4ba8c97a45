{#- Brings the 6in4 tunnel up, now and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: [ipv6.pillar, ipv6.deps, ipv6.firewall]

{%- if ipv6.tunnel is defined %}

The tunnel is up:
  he_tunnel.present:
{%-   for key, value in ipv6.tunnel.items() %}
    - {{ {key: value} | json }}
{%-   endfor %}
    - require:
      - sls: ipv6.pillar
      - The tunnel's tools are installed
{%-   if ipv6.tunnel.stack == "ifupdown" %}
      - ifupdown is installed
{%-   endif %}
{%-   if ipv6.firewall is defined %}
      - The firewall is up  # else every service that listens on :: would be open as soon as the tunnel is there
{%-   endif %}
{%- endif %}
