{#- Gives the host IPv6 as the pillar `ipv6` says, in the order in which it is safe. -#}
include:
  - ipv6.pillar
  - ipv6.deps
  - ipv6.sysctl
  - ipv6.firewall
  - ipv6.tunnel
  - ipv6.services
  - ipv6.verify
  - ipv6.dns
