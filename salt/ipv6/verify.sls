{#- Proves that what was set up works. Changes nothing. -#}
{%- from "ipv6/map.jinja" import ipv6, prelude with context %}

include: {{ (prelude + ["ipv6.tunnel"]) | json }}

{%- if ipv6.tunnel is defined %}

The broker answers through the tunnel:
  he_tunnel.answering:
    - name: {{ ipv6.tunnel.name | json }}
    - target: {{ ipv6.tunnel.get("gateway") | json }}
    - require:
      - The tunnel is up
{%- endif %}
