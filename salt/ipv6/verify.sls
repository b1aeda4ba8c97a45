{#- Proves that what was set up works. Changes nothing. -#}
{%- from "ipv6/map.jinja" import ipv6, prelude with context %}

include: {{ (prelude + ["ipv6.tunnel", "ipv6.services"]) | json }}

{%- if ipv6.tunnel is defined %}

The broker answers through the tunnel:
  he_tunnel.answering:
    - name: {{ ipv6.tunnel.name | json }}
    - target: {{ ipv6.tunnel.get("gateway") | json }}
    - require:
      - The tunnel is up
{%- endif %}

{%- for name, settings in ipv6.get("services", {}).items() %}

{{ (name ~ " answers on this host's addresses of both families") | json }}:
  service_listen.answering:
    - name: {{ name | json }}
{%-   for key in ("ports", "protocols") if key in (settings or {}) %}
    - {{ {key: settings[key]} | json }}
{%-   endfor %}
    - require:
      - {{ (name ~ " listens on both families") | json }}
{%-   if ipv6.tunnel is defined %}
      - The tunnel is up
{%-   endif %}
{%- endfor %}
