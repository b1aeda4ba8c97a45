{#- Has the hoster's own IPv6 configured, now and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6, switches with context %}

include: {{ (["ipv6.pillar", "ipv6.deps"] + (["ipv6.sysctl"] if switches else []) + ["ipv6.firewall"]) | json }}

{%- if "native" in ipv6 %}

The hoster's IPv6 is up:
  ipv6.native:
    - pillar: ipv6:native
    - require:
      - The pillar ipv6 makes sense
      - The tunnel's tools are installed  # ip(8)
{%-   if ipv6.native.get("stack") == "ifupdown" %}
      - ifupdown is installed
{%-   endif %}
{%-   for switch in switches %}
      - {{ switch | json }}
{%-   endfor %}
{%-   if "firewall" in ipv6 %}
      - The firewall is up  # otherwise every service on :: would be open as soon as the address is there
{%-   endif %}
{%- endif %}
