{#- Brings the tunnel up, or each of several, now and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6, switches, tunnels with context %}

include: {{ (["ipv6.pillar", "ipv6.deps"] + (["ipv6.sysctl"] if switches else []) + ["ipv6.firewall"]) | json }}

{%- for each in tunnels %}

The tunnel{{ each.of }} is up:
  he_tunnel.present:
    - pillar: {{ each.pillar | json }}
    - require:
      - The pillar ipv6 makes sense
      - The tunnel's tools are installed
{%-   if each.tunnel.get("stack") == "ifupdown" %}
      - ifupdown is installed
{%-   endif %}
{%-   for switch in switches %}
      - {{ switch | json }}
{%-   endfor %}
{%-   if "firewall" in ipv6 %}
      - The firewall is up  # otherwise every service on :: would be open as soon as the tunnel is up
{%-   endif %}
{%-   if each.tunnel.get("id") and each.tunnel.get("account") and each.tunnel.get("register", true) %}

The broker{{ " of" ~ each.of if each.of else "" }} knows this host's address:
  he_tunnel.registered:
    - pillar: {{ each.pillar | json }}
    - require:
      - The tunnel{{ each.of }} is up  # and the firewall lets the broker's pings in
{%-   endif %}
{%- endfor %}
