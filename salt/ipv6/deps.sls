{#- Installs what the modules need and the host lacks. -#}
{%- from "ipv6/map.jinja" import ipv6, prelude with context %}

include: {{ prelude | json }}

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
  pkg.installed:
    - name: {{ ipv6.lookup.packages.ifupdown }}
    - install_recommends: false
    - unless: test -x /sbin/ifup  # whichever implementation it is, it stays
    - require:
      - The tunnel's tools are installed
{%-     endif %}
{%-   endif %}

{#-   Salt may run in the system's own Python, as it does over salt-ssh and in Debian's packages of old, or in one
      that brings its own pip: the onedir packages, a virtual environment. #}

netaddr is there for the Python that runs Salt:
{%-   if grains.pythonexecutable.startswith("/usr/bin/") %}
  pkg.installed:
    - name: {{ ipv6.lookup.packages.netaddr }}
    - install_recommends: false
{%-   else %}
  pip.installed:
    - name: netaddr
{%-   endif %}
    - unless: {{ grains.pythonexecutable }} -c "import netaddr"
    - require:
      - sls: ipv6.pillar
{%- endif %}
