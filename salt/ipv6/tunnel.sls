{#- Brings the 6in4 tunnel up, now and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

{#- Parameters without which the tunnel's interface would have no IPv6. #}
{%- set switches = [] %}
{%- for key, value in ipv6.get("sysctl", {}).items() if key.endswith(".disable_ipv6") %}
{%-   do switches.append((key ~ " is " ~ value)[:200]) %}
{%- endfor %}

include: {{ (["ipv6.pillar", "ipv6.deps"] + (["ipv6.sysctl"] if switches else []) + ["ipv6.firewall"]) | json }}

{%- if "tunnel" in ipv6 %}

The tunnel is up:
  he_tunnel.present:
    - pillar: ipv6:tunnel
    - require:
      - The pillar ipv6 makes sense
      - The tunnel's tools are installed
{%-   if ipv6.tunnel.get("stack") == "ifupdown" %}
      - ifupdown is installed
{%-   endif %}
{%-   for switch in switches %}
      - {{ switch | json }}
{%-   endfor %}
{%-   if "firewall" in ipv6 %}
      - The firewall is up  # otherwise every service on :: would be open as soon as the tunnel is up
{%-   endif %}
{%- endif %}
