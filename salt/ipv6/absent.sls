{#-
  The way back, in the reverse order, so that no record points to a removed address. IPv4, the firewall and the services
  stay as they are. The kernel parameters keep their live values until the next boot; one on which a service now depends
  is kept.
-#}
{%- from "ipv6/map.jinja" import ipv6, lookup, records, tunnels with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.deps"] if "dns" in ipv6 else [])) | json }}

{#- A reverse zone that is not served any more is no reason to leave the other records there. #}
{%- for each in records if each.dns.get("ptr") is mapping %}

The PTR record is withdrawn{{ each.of }}:
  aaaa.ptr_withdrawn:
    - pillar: {{ each.pillar }}:ptr
    - require:
      - The pillar ipv6 makes sense
      - What DNS needs is installed
{%- endfor %}

{%- for each in records %}

The AAAA records are withdrawn{{ each.of }}:
  aaaa.withdrawn:
    - pillar: {{ each.pillar }}
    - require:
      - The pillar ipv6 makes sense
      - What DNS needs is installed
{%- endfor %}

{%- for tunnel in tunnels %}

The tunnel{{ tunnel.of }} is gone:
  he_tunnel.absent:
    - pillar: {{ tunnel.pillar | json }}
    - require:
      - The pillar ipv6 makes sense
{%-   for each in records %}
      - The AAAA records are withdrawn{{ each.of }}
{%-   endfor %}
{%- endfor %}

{%- if "native" in ipv6 %}

What this formula has configured of the hoster's IPv6 is gone:
  ipv6.native_absent:
    - pillar: ipv6:native
    - require:
      - The pillar ipv6 makes sense
{%-   for each in records %}
      - The AAAA records are withdrawn{{ each.of }}
{%-   endfor %}
{%- endif %}

{%- set file = ipv6.get("lookup", {}).get("sysctl_file") %}
{%- for key in ipv6.get("sysctl", {}) %}

{{ (key ~ " is not set at boot") | json }}:
  ipv6.parameter_absent:
    - name: {{ key | json }}
    - pillar: ipv6:sysctl
    - config: {{ (file if file is string else lookup.sysctl_file) | json }}
    - require:
      - The pillar ipv6 makes sense
{%- endfor %}
