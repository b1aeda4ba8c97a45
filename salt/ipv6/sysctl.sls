{#- Sets kernel parameters, live and for the next boot. -#}
{%- from "ipv6/map.jinja" import ipv6, prelude with context %}

include: {{ prelude | json }}

{%- for key, value in ipv6.get("sysctl", {}).items() %}

{{ (key ~ " is " ~ value) | json }}:
  sysctl.present:
    - name: {{ key | json }}
    - value: {{ value | json }}
    - config: {{ ipv6.lookup.sysctl_file }}
    - require:
      - sls: ipv6.pillar
{%- endfor %}
