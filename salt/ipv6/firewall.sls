{#- Converges both families' firewalls to the pillar, live and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: [ipv6.pillar, ipv6.deps]

{%- if "firewall" in ipv6 %}

The firewall is up:
  dualstack_iptables.ruleset:
    - pillar: ipv6:firewall
    - require:
      - The pillar ipv6 makes sense
      - The firewall's tools are installed
{%- endif %}
