{#-
  Proves that what was set up works, and changes nothing: a ladder of states, each checking one thing. The first of a
  chain that fails says what is wrong, and those above it are not run.

  States that need the whole proof require this file: it has at least one state, and the last one requires all others.
-#}
{%- from "ipv6/map.jinja" import ipv6 with context %}
{%- set rungs = [] %}

include: [ipv6.pillar, ipv6.firewall, ipv6.tunnel, ipv6.services]

{%- if "tunnel" in ipv6 %}
{%-   set chain = {
        "The tunnel is as it is configured": "live",
        "Packets leave by the tunnel": "routed",
        "IPv4 reaches the broker": "underlaid",
        "The broker answers through the tunnel": "answering",
        "The published address reaches beyond the broker": "reaching",
      } %}
{%-   for rung, look in chain.items() if look != "answering" or ipv6.tunnel.get("gateway") is not none %}

{{ rung }}:
  he_tunnel.{{ look }}:
    - pillar: ipv6:tunnel
    - require:
      - {{ rungs[-1] if rungs else "The tunnel is up" }}
{%-     do rungs.append(rung) %}
{%-   endfor %}
{%- endif %}

{%- if "firewall" in ipv6 %}
{%-   do rungs.append("The firewall does what is expected of it") %}

The firewall does what is expected of it:
  dualstack_iptables.proven:
    - pillar: ipv6:firewall
    - require:
      - The firewall is up
{%- endif %}

{%- for name in ipv6.get("services", {}) %}
{%-   do rungs.append(name ~ " answers on this host's addresses of both families") %}

{{ rungs[-1] | json }}:
  service_listen.answering:
    - name: {{ name | json }}
    - pillar: ipv6:services
    - require:
      - {{ (name ~ " listens on both families") | json }}
{%-   if "tunnel" in ipv6 %}
      - The tunnel is up
{%-   endif %}
{%- endfor %}

{#- The name reflects what is known: without a prober, nothing. #}
{%- set outside = "is" if ipv6.get("verify", {}).get("prober") is not none else "may or may not be" %}

This host {{ outside }} reachable from outside:
  service_listen.reachable:
    - pillar: ipv6:services
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
