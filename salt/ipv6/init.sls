{#- Sets up IPv6 as declared in the pillar `ipv6`, in a safe order. -#}
include:
  - ipv6.pillar
  - ipv6.deps
  - ipv6.sysctl
  - ipv6.firewall
  - ipv6.tunnel
  - ipv6.native
  - ipv6.services
  - ipv6.verify
  - ipv6.dns
  - ipv6.mail
