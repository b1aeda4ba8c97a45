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
  pkg.installed:
    - name: {{ ipv6.lookup.packages.ifupdown | json }}
    - install_recommends: false
    - unless: test -x /sbin/ifup  # whichever implementation it is, it stays
    - require:
      - The tunnel's tools are installed
{%-     endif %}
{%-   endif %}

{%-   if ipv6.firewall is defined %}

{#-   Its installation would save for the next boot whatever lives now. What is saved is for the firewall to say. #}
What lives now is not saved for the next boot:
  cmd.run:
    - name: |
        debconf-set-selections <<END
        iptables-persistent iptables-persistent/autosave_v4 boolean false
        iptables-persistent iptables-persistent/autosave_v6 boolean false
        END
    - creates: /usr/share/netfilter-persistent/plugins.d
    - require:
      - sls: ipv6.pillar

The firewall's tools are installed:
  pkg.installed:
    - pkgs: {{ ipv6.lookup.packages.firewall | json }}
    - install_recommends: false
    - require:
      - What lives now is not saved for the next boot
{%-   endif %}

{#-   Salt may run in the system's own Python, as it does over salt-ssh and in Debian's packages of old, or in one
      that brings its own pip: the onedir packages, a virtual environment. #}

netaddr is there for the Python that runs Salt:
{%-   if grains.pythonexecutable.startswith("/usr/bin/") %}
  pkg.installed:
    - name: {{ ipv6.lookup.packages.netaddr | json }}
    - install_recommends: false
{%-   else %}
  pip.installed:
    - name: netaddr
{%-   endif %}
    - unless: {{ grains.pythonexecutable }} -c "import netaddr"
    - require:
      - sls: ipv6.pillar

{%-   if records %}
{%-     set lexicon = records.by == "lexicon" %}

What DNS needs is installed:
{%-     if grains.pythonexecutable.startswith("/usr/bin/") %}
  pkg.installed:
    - pkgs:
      - {{ ipv6.lookup.packages.dnspython | json }}
{%-       if lexicon %}
      - {{ ipv6.lookup.packages.lexicon | json }}
{%-       endif %}
    - install_recommends: false
{%-     else %}
  pip.installed:
    - pkgs: {{ (["dnspython"] + (["dns-lexicon"] if lexicon else [])) | json }}
{%-     endif %}
    - unless: {{ grains.pythonexecutable }} -c "import dns{{ ", lexicon" if lexicon else "" }}"
    - require:
      - sls: ipv6.pillar
{%-   endif %}
{%- endif %}
