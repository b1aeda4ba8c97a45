{#- Brings the 6in4 tunnel up, now and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: [ipv6.pillar, ipv6.deps, ipv6.firewall]

{%- if "tunnel" in ipv6 %}

The tunnel is up:
  he_tunnel.present:
    - pillar: ipv6:tunnel
    - require:
      - sls: ipv6.pillar
      - The tunnel's tools are installed
{%-   if ipv6.tunnel.get("stack") == "ifupdown" %}
      - ifupdown is installed
{%-   endif %}
{%-   if "firewall" in ipv6 %}
      - The firewall is up  # otherwise every service on :: would be open as soon as the tunnel is up
{%-   endif %}
{%- endif %}
