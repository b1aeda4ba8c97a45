{#- Installs what the modules need and the host lacks. -#}
{%- from "ipv6/map.jinja" import ipv6, records with context %}

include: [ipv6.pillar]

{%- if ipv6 %}
{%-   if ipv6.tunnel is defined %}

The tunnel's tools are installed:
  pkg.installed:
    - pkgs: {{ ipv6.lookup.packages.tunnel | json }}
    - install_recommends: false
    - require:
      - sls: ipv6.pillar
{%-     if ipv6.tunnel.stack == "ifupdown" %}

ifupdown is installed:
  ipv6_deps.provided:
    - proof: [test, -x, /sbin/ifup]  # whichever implementation it is, it stays
    - packages: [{{ ipv6.lookup.packages.ifupdown | json }}]
    - require:
      - The tunnel's tools are installed
{%-     endif %}
{%-   endif %}

{%-   if ipv6.firewall is defined %}

{#-   Its installation would save for the next boot whatever lives now. What is saved is for the firewall to say. #}
The firewall's tools are installed:
  ipv6_deps.provided:
    - packages: {{ ipv6.lookup.packages.firewall | json }}
    - answers: |
        iptables-persistent iptables-persistent/autosave_v4 boolean false
        iptables-persistent iptables-persistent/autosave_v6 boolean false
    - reload_modules: true
    - require:
      - sls: ipv6.pillar
{%-   endif %}

{#-   Salt may run in the system's own Python, as it does over salt-ssh and in Debian's packages of old, or in one
      that brings its own pip: the onedir packages, a virtual environment. #}
{%-   set python = grains.pythonexecutable %}
{%-   set own = not python.startswith("/usr/bin/") %}

netaddr is there for the Python that runs Salt:
  ipv6_deps.provided:
    - proof: [{{ python | json }}, "-c", import netaddr]
{%-   if own %}
    - distributions: [netaddr]
{%-   else %}
    - packages: [{{ ipv6.lookup.packages.netaddr | json }}]
{%-   endif %}
    - reload_modules: true
    - require:
      - sls: ipv6.pillar

{%-   if records %}
{%-     set lexicon = records.by == "lexicon" %}
{%-     set packages = [ipv6.lookup.packages.dnspython] + ([ipv6.lookup.packages.lexicon] if lexicon else []) %}

What DNS needs is installed:
  ipv6_deps.provided:
    - proof: [{{ python | json }}, "-c", "import dns{{ ", lexicon" if lexicon else "" }}"]
{%-     if own %}
    - distributions: {{ (["dnspython"] + (["dns-lexicon"] if lexicon else [])) | json }}
{%-     else %}
    - packages: {{ packages | json }}
{%-     endif %}
    - reload_modules: true
    - require:
      - sls: ipv6.pillar
{%-   endif %}
{%- endif %}
