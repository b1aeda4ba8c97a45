{#-
  The first of all: every other file includes it. Fetches the custom modules, and refuses a wrong pillar, with everything
  that is wrong in it, before anything is changed.

  `state.apply ipv6` does not fetch custom modules by itself. They come from the fileserver, unless there are none in
  it (they are in module_dirs or in an installed extension), or this is salt-ssh, which ships them: there Jinja runs
  on the master. Only what has changed is fetched. None may be called in Jinja: a loader that has once missed them does
  not always find them later.
-#}
{%- from "ipv6/map.jinja" import shaped with context %}
{%- import_yaml "ipv6/supported.yaml" as supported %}
{%- set fetched = [] %}
{%- if "__master_opts__" not in opts %}
{%-   do fetched.extend(salt["saltutil.sync_modules"](refresh=False)) %}
{%-   do fetched.extend(salt["saltutil.sync_states"](refresh=False)) %}
{%-   do fetched and salt["saltutil.refresh_modules"]() %}
{%- endif %}

{%- if fetched %}

The modules that this run has fetched are loaded:
  test.nop:
    - force_reload_modules: true
{%- endif %}

The pillar ipv6 makes sense:
  ipv6.valid:
    - supported: {{ supported | json }}
    - shaped: {{ shaped | json }}
