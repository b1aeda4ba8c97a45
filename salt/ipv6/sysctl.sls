{#- Sets kernel parameters, live and for the next boot. -#}
{%- from "ipv6/map.jinja" import ipv6, lookup with context %}

include: [ipv6.pillar]

{%- set listeners = "net.ipv6.bindv6only" %}
{%- if listeners in ipv6.get("sysctl", {}) %}

No service is harmed by the kernel's default for listeners:
  service_listen.unharmed:
    - pillar: ipv6:services
    - require:
      - The pillar ipv6 makes sense
{%- endif %}

{%- set file = ipv6.get("lookup", {}).get("sysctl_file") %}
{%- for key, value in ipv6.get("sysctl", {}).items() %}

{%- set shown = "***" if key.endswith(("stable_secret", "tcp_fastopen_key")) else value %}

{{ (key ~ " is " ~ shown)[:200] | json }}:  # a key of YAML has at most 1024 characters
  ipv6.parameter:
    - name: {{ key | json }}
    - pillar: ipv6:sysctl
    - config: {{ (file if file is string else lookup.sysctl_file) | json }}
    - require:
      - The pillar ipv6 makes sense
{%-   if key == listeners %}
      - No service is harmed by the kernel's default for listeners
{%-   endif %}
{%- endfor %}
