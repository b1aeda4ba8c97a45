{#- Publishes the host's IPv6 address in DNS, unless a rung of the proof fails. -#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

include: {{ (["ipv6.pillar"] + (["ipv6.deps", "ipv6.verify"] if "dns" in ipv6 else [])) | json }}

{%- if "dns" in ipv6 %}

The AAAA records are published:
  aaaa.published:
    - pillar: ipv6:dns
    - require:
      - sls: ipv6.pillar
      - IPv6 is proven
      - What DNS needs is installed

{%-   if ipv6.dns.get("withdraw_when_broken") is sameas true %}

The AAAA records are withdrawn, since IPv6 is not proven:
  aaaa.withdrawn:
    - pillar: ipv6:dns
    - require:
      - sls: ipv6.pillar
    - onfail:
      - IPv6 is proven
{%-   endif %}
{%- endif %}
