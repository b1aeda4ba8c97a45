{#- Sets kernel parameters, live and for the next boot. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: [ipv6.pillar]

{%- set listeners = "net.ipv6.bindv6only" %}
{%- if listeners in ipv6.get("sysctl", {}) %}

No service is harmed by the kernel's default for listeners:
  service_listen.unharmed:
    - bindv6only: {{ ipv6.sysctl[listeners] | json }}
    - services: {{ ipv6.get("services", {}) | json }}
    - exceptions: {{ ipv6.sysctl_except | json }}
    - require:
      - sls: ipv6.pillar
{%- endif %}

{%- for key, value in ipv6.get("sysctl", {}).items() %}

{{ (key ~ " is " ~ value) | json }}:
  sysctl.present:
    - name: {{ key | json }}
    - value: {{ value | json }}
    - config: {{ ipv6.lookup.sysctl_file | json }}
    - require:
      - sls: ipv6.pillar
{%-   if key == listeners %}
      - No service is harmed by the kernel's default for listeners
{%-   endif %}
{%- endfor %}
