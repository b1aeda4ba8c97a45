{#-
  The end of what changes this host: it is kept as a whole if the host can still be managed, else put back as a whole. The
  proof and DNS come after it. Every other file includes this one, by ipv6.pillar. So none may require `sls: ipv6.pillar`:
  Salt 3008 counts what a file includes as part of it, and that would wait for this.
-#}

This host can still be managed:
  ipv6.managed:
    - pillar: ipv6
    - order: last  # and before those that require it
