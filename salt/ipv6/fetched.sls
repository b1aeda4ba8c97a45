{#- Included where this run has fetched custom modules, so that its later states use these. -#}
The modules that this run has fetched are loaded:
  test.nop:
    - force_reload_modules: true
