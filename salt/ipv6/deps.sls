{#- Installs what the modules need and the host lacks. -#}
{%- from "ipv6/map.jinja" import ipv6, lookup, tunnels with context %}

include: [ipv6.pillar]

{%- set needs = {
  "tunnel": "The tunnel's tools are installed",
  "ifupdown": "ifupdown is installed",
  "firewall": "The firewall's tools are installed",
  "netaddr": "netaddr is there for the Python that runs Salt",
  "dns": "What DNS needs is installed",
} %}
{%- set needed = ["netaddr"] if ipv6 else [] %}
{%- do (tunnels or "native" in ipv6) and needed.append("tunnel") %}
{%- do needed.extend(("firewall", "dns") | select("in", ipv6)) %}
{%- set stacks = tunnels | map(attribute="tunnel.stack", default="") | list + [ipv6.get("native", {}).get("stack")] %}
{%- do "ifupdown" in stacks and needed.append("ifupdown") %}

{%- for need, state in needs.items() if need in needed %}

{{ state }}:
  ipv6.provided:
    - need: {{ need }}
    - pillar: ipv6
    - lookup: {{ lookup | json }}
    - reload_modules: true
    - require:
      - The pillar ipv6 makes sense
{%-   if need == "ifupdown" %}
      - {{ needs.tunnel }}
{%-   endif %}
{%- endfor %}
