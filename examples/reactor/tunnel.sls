{#- Of the events silent and address of the beacon he_tunnel: the broker is told, and the tunnel is applied again. #}
The tunnel of {{ data["id"] }} is repaired:
  local.state.apply:
    - tgt: {{ data["id"] | json }}
    - tgt_type: list
    - args:
      - mods: ipv6.tunnel
      - queue: true
