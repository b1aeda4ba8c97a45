{#- Makes both families' firewalls what the pillar says, now and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: [ipv6.pillar, ipv6.deps]

{%- if ipv6.firewall is defined %}

The firewall is up:
  dualstack_iptables.ruleset:
{%-   for key, value in ipv6.firewall.items() %}
    - {{ {key: value} | json }}
{%-   endfor %}
{%-   if ipv6.tunnel is defined %}
    - tunnel: {{ ipv6.tunnel | json }}
{%-   endif %}
    - require:
      - sls: ipv6.pillar
      - The firewall's tools are installed
{%- endif %}
