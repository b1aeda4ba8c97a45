{#-
  The way back, in the reverse order, so that no record points to a removed address. IPv4, the firewall and the services
  stay as they are. The kernel parameters keep their live values until the next boot; one on which a service now depends
  is kept.
-#}
{%- from "ipv6/map.jinja" import ipv6, lookup with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.deps"] if "dns" in ipv6 else [])) | json }}

{%- if "dns" in ipv6 %}

The AAAA records are withdrawn:
  aaaa.withdrawn:
    - pillar: ipv6:dns
    - require:
      - sls: ipv6.pillar
      - What DNS needs is installed
{%- endif %}

{%- if "tunnel" in ipv6 %}

The tunnel is gone:
  he_tunnel.absent:
    - pillar: ipv6:tunnel
    - require:
      - sls: ipv6.pillar
{%-   if "dns" in ipv6 %}
      - The AAAA records are withdrawn
{%-   endif %}
{%- endif %}

{%- set file = ipv6.get("lookup", {}).get("sysctl_file") %}
{%- for key in ipv6.get("sysctl", {}) %}

{{ (key ~ " is not set at boot") | json }}:
  ipv6.parameter_absent:
    - name: {{ key | json }}
    - pillar: ipv6:sysctl
    - config: {{ (file if file is string else lookup.sysctl_file) | json }}
    - require:
      - sls: ipv6.pillar
{%- endfor %}
