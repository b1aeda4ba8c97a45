{#- Publishes the host's IPv6 address in DNS once it is proven, and withdraws it when it has failed too often. -#}
{%- from "ipv6/map.jinja" import ipv6, records with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.deps", "ipv6.verify"] if "dns" in ipv6 else [])) | json }}

{%- for each in records %}

The AAAA records are published{{ each.of }}:
  aaaa.published:
    - pillar: {{ each.pillar }}
    - proof: IPv6 is proven
    - require:
      - The pillar ipv6 makes sense
      - This host can still be managed
      - IPv6 is proven
      - What DNS needs is installed
{%-   for name in ipv6.get("services", {}) %}
      - {{ (name ~ " listens on both families") | json }}
{%-   endfor %}

{%-   if each.dns.get("withdraw_when_broken") is sameas true %}

The AAAA records are withdrawn once IPv6 has failed too often{{ each.of }}:
  aaaa.withdrawn:
    - pillar: {{ each.pillar }}
    - proof: IPv6 is proven
    - require:
      - The pillar ipv6 makes sense
{%-   endif %}
{%- endfor %}

{%- for each in records if each.dns.get("ptr") is mapping %}

The PTR record is published{{ each.of }}:
  aaaa.ptr_published:
    - pillar: {{ each.pillar }}:ptr
    - require:
      - The pillar ipv6 makes sense
      - The AAAA records are published{{ each.of }}
{%- endfor %}
