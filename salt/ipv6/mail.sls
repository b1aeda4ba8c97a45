{#-
  Judges once more over which families mail is sent: when `ipv6.services` did, the records of this run were not published,
  and others refuse mail from an IPv6 address without them.
-#}
{%- from "ipv6/map.jinja" import ipv6, records with context %}
{%- set senders = ipv6.get("services", {}) | select("in", ("postfix", "exim4")) | list if records else [] %}

include: {{ (["ipv6.pillar"] + (["ipv6.services", "ipv6.dns"] if senders else [])) | json }}

{%- set published = [] %}
{%- for each in records %}
{%-   do published.append("The AAAA records are published" ~ each.of) %}
{%-   do each.dns.get("ptr") is mapping and published.append("The PTR record is published" ~ each.of) %}
{%- endfor %}

{%- for name in senders %}

{{ (name ~ " sends over IPv6 if others will take it") | json }}:
  service_listen.sending:
    - name: {{ name | json }}
    - pillar: ipv6:services
    - onchanges: {{ published | json }}  # otherwise it has just been judged
    - require:
      - The pillar ipv6 makes sense
      - {{ (name ~ " listens on both families") | json }}
{%-   for each in published %}
      - {{ each | json }}
{%-   endfor %}
{%- endfor %}
