{#- Publishes the host's IPv6 address in DNS, once all that was set up is proven, and not before. -#}
{%- from "ipv6/map.jinja" import ipv6, records with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.deps", "ipv6.verify"] if records else [])) | json }}

{%- if records %}

The AAAA records are published:
  aaaa.published:
{%-   for key, value in records.items() %}
    - {{ {key: value} | json }}
{%-   endfor %}
    - require:
      - sls: ipv6.pillar
      - IPv6 is proven
      - What DNS needs is installed

{%-   if ipv6.dns.get("withdraw_when_broken") is sameas true %}

The AAAA records are withdrawn, since IPv6 is not proven:
  aaaa.withdrawn:
{%-     for key, value in records.items() if key != "ttl" %}
    - {{ {key: value} | json }}
{%-     endfor %}
    - require:
      - sls: ipv6.pillar
    - onfail:
      - IPv6 is proven
{%-   endif %}
{%- endif %}
