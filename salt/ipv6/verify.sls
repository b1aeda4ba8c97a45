{#-
  Proves that what was set up works, and changes nothing: a ladder of states, of which each looks at one thing. Of a
  chain, the first that fails says what is wrong, and those above it that they were not tried.

  Whatever needs a proof of all requires this file: it has one state at least, and the last one requires all others.
-#}
{%- from "ipv6/map.jinja" import ipv6 with context %}

{%- set verify = ipv6.get("verify") if ipv6.get("verify") is mapping else {} %}
{%- set dns = ipv6.get("dns") if ipv6.get("dns") is mapping else {} %}
{%- set services = ipv6.get("services", {}) %}
{%- set rungs = [] %}

include: [ipv6.pillar, ipv6.firewall, ipv6.tunnel, ipv6.services]

{%- if ipv6.tunnel is defined %}

The tunnel is as it is configured:
  he_tunnel.live:
    - name: {{ ipv6.tunnel.name | json }}
    - require:
      - The tunnel is up

Packets leave by the tunnel:
  he_tunnel.routed:
    - name: {{ ipv6.tunnel.name | json }}
    - beyond: {{ verify.get("beyond") | json }}
    - source: {{ dns.get("address") | json }}
    - require:
      - The tunnel is as it is configured

IPv4 reaches the broker:
  he_tunnel.underlaid:
    - name: {{ ipv6.tunnel.name | json }}
    - require:
      - Packets leave by the tunnel

{%-   do rungs.append("IPv4 reaches the broker") %}
{%-   if ipv6.tunnel.get("gateway") is not none %}

The broker answers through the tunnel:
  he_tunnel.answering:
    - name: {{ ipv6.tunnel.name | json }}
    - target: {{ ipv6.tunnel.gateway | json }}
    - require:
      - IPv4 reaches the broker

{%-     do rungs.append("The broker answers through the tunnel") %}
{%-   endif %}

The published address reaches beyond the broker:
  he_tunnel.reaching:
    - name: {{ ipv6.tunnel.name | json }}
    - beyond: {{ verify.get("beyond") | json }}
    - source: {{ dns.get("address") | json }}
    - require:
      - {{ rungs[-1] }}

{%-   do rungs.append("The published address reaches beyond the broker") %}
{%- endif %}

{%- if ipv6.firewall is defined %}

The firewall does what is expected of it:
  dualstack_iptables.proven:
{%-   for key, value in ipv6.firewall.items() %}
    - {{ {key: value} | json }}
{%-   endfor %}
{%-   if ipv6.tunnel is defined %}
    - tunnel: {{ ipv6.tunnel | json }}
{%-   endif %}
    - require:
      - The firewall is up

{%-   do rungs.append("The firewall does what is expected of it") %}
{%- endif %}

{%- for name, settings in services.items() %}
{%-   set rung = name ~ " answers on this host's addresses of both families" %}

{{ rung | json }}:
  service_listen.answering:
    - name: {{ name | json }}
{%-   for key in ("ports", "protocols") if settings is mapping and key in settings %}
    - {{ {key: settings[key]} | json }}
{%-   endfor %}
    - require:
      - {{ (name ~ " listens on both families") | json }}
{%-   if ipv6.tunnel is defined %}
      - The tunnel is up
{%-   endif %}

{%-   do rungs.append(rung) %}
{%- endfor %}

{#- The name says what is known: without a prober, nothing is. #}
{%- set outside = "is" if verify.get("prober") is not none else "may or may not be" %}

This host {{ outside }} reachable from outside:
  service_listen.reachable:
    - prober: {{ verify.get("prober") | json }}
    - services: {{ services | json }}
    - address: {{ dns.get("address") | json }}
    - tunnel: {{ ipv6.get("tunnel", {}).get("name") | json }}
    - require:
      - sls: ipv6.pillar
{%- for rung in rungs %}
      - {{ rung | json }}
{%- endfor %}

IPv6 is proven:
  ipv6.proven:
    - require:
      - sls: ipv6.pillar
      - This host {{ outside }} reachable from outside
{%- for rung in rungs %}
      - {{ rung | json }}
{%- endfor %}
