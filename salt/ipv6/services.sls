{#- Has the services listen on both families. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.sysctl", "ipv6.firewall"] if ipv6.get("services") else [])) | json }}

{%- set listeners = "net.ipv6.bindv6only" %}
{%- set parameter = ipv6.get("sysctl", {}).get(listeners) %}
{%- for name, settings in ipv6.get("services", {}).items() %}

{{ (name ~ " listens on both families") | json }}:
  service_listen.dual_stack:
    - name: {{ name | json }}
{%-   for key, value in (settings or {}).items() %}
    - {{ {key: value} | json }}
{%-   endfor %}
{%-   if parameter is not none %}
    - bindv6only: {{ parameter | json }}
{%-   endif %}
    - require:
      - sls: ipv6.pillar
{%-   if parameter is not none %}
      - {{ (listeners ~ " is " ~ parameter) | json }}  # a daemon takes the value of the moment in which it starts
{%-   endif %}
{%-   if ipv6.firewall is defined %}
      - The firewall is up
{%-   endif %}
{%- endfor %}
