{#- Makes the services listen on both families. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.sysctl", "ipv6.firewall"] if ipv6.get("services") else [])) | json }}

{%- set listeners = "net.ipv6.bindv6only" %}
{%- set parameter = ipv6.get("sysctl", {}).get(listeners) %}
{%- for name in ipv6.get("services", {}) %}

{{ (name ~ " listens on both families") | json }}:
  service_listen.dual_stack:
    - name: {{ name | json }}
    - pillar: ipv6:services
    - require:
      - The pillar ipv6 makes sense
{%-   if parameter is not none %}
      - {{ (listeners ~ " is " ~ parameter) | json }}  # a daemon uses the value at the time it starts
{%-   endif %}
{%-   if "firewall" in ipv6 %}
      - The firewall is up
{%-   endif %}
{%- endfor %}
