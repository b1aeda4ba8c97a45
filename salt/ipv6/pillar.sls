{#-
  Before everything else: fetches the custom modules, and refuses a wrong pillar, with every error in it, before anything
  is changed. Every other file includes it.

  `state.apply ipv6` itself does not fetch custom modules. They come from the fileserver, unless it has none (they are in
  module_dirs or in an installed extension), or this is salt-ssh, which ships them: there Jinja runs on the master. Only
  what has changed is fetched. Do not call one in Jinja: a loader that has once missed a module does not always find it
  later.
-#}
{%- import_yaml "ipv6/supported.yaml" as supported %}
{%- set fetched = [] %}
{%- if "__master_opts__" not in opts %}
{%-   do fetched.extend(salt["saltutil.sync_modules"](refresh=False)) %}
{%-   do fetched.extend(salt["saltutil.sync_states"](refresh=False)) %}
{%-   do fetched and salt["saltutil.refresh_modules"]() %}
{%- endif %}

include: [ipv6.managed]

{%- if fetched %}

The modules that this run has fetched are loaded:
  test.nop:
    - force_reload_modules: true
{%- endif %}

The pillar ipv6 makes sense:
  ipv6.valid:
    - pillar: ipv6
    - supported: {{ supported | json }}
