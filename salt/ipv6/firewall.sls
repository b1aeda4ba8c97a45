{#- Converges both families' firewalls to the pillar, live and at every boot. -#}
{%- from "ipv6/map.jinja" import ipv6, lookup with context %}

include: [ipv6.pillar, ipv6.deps]

{%- if "firewall" in ipv6 %}
{%-   set taking = ipv6.firewall.get("take_over") %}

The firewall is up:
  dualstack_iptables.{{ "taken_over" if taking else "ruleset" }}:
    - pillar: ipv6:firewall
    - require:
      - The pillar ipv6 makes sense
      - The firewall's tools are installed
{%-   if taking %}

{#- What loads the rules at boot cannot be installed beside ufw. It removes the package, so it comes when this run is kept
    for good, with ufw's chains gone; and it loads what is saved, so that is saved after it. #}
What loads the rules at boot is installed:
  ipv6.provided:
    - need: loader
    - pillar: ipv6
    - lookup: {{ lookup | json }}
    - reload_modules: true
    - require:
      - The firewall is up
      - This host can still be managed

The rules are saved for the next boot:
  dualstack_iptables.saved:
    - pillar: ipv6:firewall
    - require:
      - What loads the rules at boot is installed
{%-   endif %}
{%- endif %}
