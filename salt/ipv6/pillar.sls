{#- Refuses a wrong pillar, with everything that is wrong in it, before anything is changed. -#}
{%- from "ipv6/map.jinja" import os_families, prelude with context %}

include: {{ prelude | reject("equalto", sls) | list | json }}

The pillar ipv6 makes sense:
  ipv6.valid:
    - os_families: {{ os_families.keys() | list | json }}
