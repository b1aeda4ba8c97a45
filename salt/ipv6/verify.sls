{#-
  Proves that what was set up works, and changes nothing: rungs, each a state that looks at one thing. It is held, failed,
  or not tried; a rung whose way is not clear is not tried. The last state says what they prove together.

  States that need the whole proof include this file, which puts them after it, and require `IPv6 is proven`.
-#}
{%- from "ipv6/map.jinja" import ipv6, tunnels with context %}
{%- set rungs = {} %}

include: [ipv6.pillar, ipv6.sysctl, ipv6.firewall, ipv6.tunnel, ipv6.native, ipv6.services]

{#- The rungs of each tunnel wait for one another; whether somebody beyond answers is asked of the published address below,
    and where that may be another's, since there are several tunnels or the hoster's IPv6, of each one's own. #}
{%- set several = tunnels | length > 1 or "native" in ipv6 %}
{%- set last = [] %}
{%- for each in tunnels %}
{%-   set chain = {
        "The tunnel" ~ each.of ~ " is as it is configured": "live",
        "Packets leave by the tunnel" ~ each.of: "routed",
        "IPv4 reaches the broker" ~ (" of" ~ each.of if each.of else ""): "underlaid",
        "The broker answers through the tunnel" ~ each.of: "answering",
      } %}
{%-   do (each.of or several) and chain.update({"Somebody beyond answers through the tunnel" ~ each.of: "reaching"}) %}
{%-   set before = ["The tunnel" ~ each.of ~ " is up", "This host can still be managed"] %}
{%-   for rung, look in chain.items() if look != "answering" or each.tunnel.get("gateway") is not none or each.tunnel.get("id") %}

{{ rung }}:
  he_tunnel.{{ look }}:
    - pillar: {{ each.pillar | json }}
    - require: {{ before | json }}
{%-     do before.clear() %}
{%-     do before.append(rung) %}
{%-     do rungs.update({rung: "tunnel"}) %}
{%-   endfor %}
{%-   do last.append(before[0]) %}
{%- endfor %}

{%- if tunnels or "native" in ipv6 or "dns" in ipv6 %}

The published address is on this host:
  ipv6.assigned:
    - pillar: ipv6
    - require:
      - The pillar ipv6 makes sense
      - This host can still be managed
{%-   for each in tunnels %}
      - The tunnel{{ each.of }} is up
{%-   endfor %}
{%-   if "native" in ipv6 %}
      - The hoster's IPv6 is up
{%-   endif %}

What comes from the published address leaves for the IPv6 internet:
  ipv6.leaving:
    - pillar: ipv6
    - require:
      - The published address is on this host

Somebody beyond answers to the published address:
  ipv6.reaching:
    - pillar: ipv6
    - require:
      - What comes from the published address leaves for the IPv6 internet
{%-   for rung in last if not several %}
      - {{ rung }}
{%-   endfor %}

{%-   do rungs.update({
        "The published address is on this host": "published address",
        "What comes from the published address leaves for the IPv6 internet": "route",
        "Somebody beyond answers to the published address": "beyond",
      }) %}
{%- endif %}

{%- if "firewall" in ipv6 %}
{%-   do rungs.update({"The firewall does what is expected of it": "firewall"}) %}

The firewall does what is expected of it:
  dualstack_iptables.proven:
    - pillar: ipv6:firewall
    - require:
      - The firewall is up
      - This host can still be managed
{%- endif %}

{%- for name in ipv6.get("services", {}) %}
{%-   set rung = name ~ " answers on this host's addresses of both families" %}
{%-   do rungs.update({rung: "services"}) %}

{{ rung | json }}:
  service_listen.answering:
    - name: {{ name | json }}
    - pillar: ipv6:services
    - require:  # whether it could be converged is no matter: what could not, is looked at as it is
      - The pillar ipv6 makes sense
      - This host can still be managed
{%-   for each in tunnels %}
      - The tunnel{{ each.of }} is up
{%-   endfor %}
{%-   if "native" in ipv6 %}
      - The hoster's IPv6 is up
{%-   endif %}
{%- endfor %}

{%- if tunnels or ipv6.get("native") or ipv6.get("firewall") or ipv6.get("sysctl") or ipv6.get("services") %}
{%-   do rungs.update({"The next boot comes up the same": "next boot"}) %}

The next boot comes up the same:
  ipv6.next_boot:
    - pillar: ipv6
    - require:
      - The pillar ipv6 makes sense
      - This host can still be managed
{%- endif %}

{%- if "dns" in ipv6 %}
{%-   do rungs.update({"The published names lead to this host over IPv4": "A record"}) %}

The published names lead to this host over IPv4:
  ipv6.leading:
    - pillar: ipv6
    - require:
      - The pillar ipv6 makes sense
      - This host can still be managed
{%- endif %}

{%- if ipv6.get("verify", {}).get("prober") is not none %}

This host is reachable from outside:
  service_listen.reachable:
    - pillar: ipv6:services
    - require:
      - The pillar ipv6 makes sense
      - This host can still be managed
{%-   for rung in rungs %}
      - {{ rung | json }}
{%-   endfor %}

{%-   do rungs.update({"This host is reachable from outside": "reachable from outside"}) %}
{%- endif %}

IPv6 is proven:
  ipv6.proven:
    - pillar: ipv6
    - rungs: {{ rungs | json }}
    - require:
      - The pillar ipv6 makes sense
