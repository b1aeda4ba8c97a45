# shares.sh, to be sourced: which release runs which of the tests' files. It is beside bin/test, and not in it, since
# what a machine needs for them does not change with it (tests/clean tries that anew when bin/test changes).

# How much a file takes, where that is several times as much as the others beside it take.
declare -A weights=(
  [tests/functional/test_formula.py]=2
  [tests/functional/test_present.py]=5
  [tests/functional/test_rollback.py]=2
  [tests/lab/test_drift.py]=9
  [tests/lab/test_firewall.py]=6
  [tests/lab/test_master.py]=20
  [tests/lab/test_salt_ssh.py]=9
  [tests/formula/test_malformed_pillars.py]=30
  [tests/formula/test_sysctl_faults.py]=60
  [tests/integration/test_confirm.py]=80
  [tests/integration/test_confirm_ssh.py]=70
  [tests/integration/test_gitfs.py]=90
  [tests/integration/test_gate.py]=110
  [tests/integration/test_gate_ptr.py]=30
  [tests/integration/test_guest.py]=30
  [tests/integration/test_managers.py]=100
  [tests/integration/test_orchestration.py]=60
  [tests/integration/test_prober.py]=110
  [tests/integration/test_rollout.py]=120
  [tests/firewall/test_adopt.py]=3
  [tests/firewall/test_boot.py]=5
  [tests/firewall/test_busy_neighbour.py]=5
  [tests/firewall/test_convergence.py]=12
  [tests/firewall/test_dual.py]=4
  [tests/firewall/test_fail_open.py]=3
  [tests/firewall/test_forwarding.py]=8
  [tests/firewall/test_managers.py]=7
  [tests/firewall/test_management.py]=4
  [tests/firewall/test_named_bridges.py]=2
  [tests/firewall/test_named_like_others.py]=4
  [tests/firewall/test_others.py]=4
  [tests/firewall/test_rehearsal.py]=5
  [tests/firewall/test_rehearsal_limits.py]=6
  [tests/firewall/test_rule.py]=4
  [tests/firewall/test_sets.py]=5
  [tests/firewall/test_stream.py]=3
  [tests/firewall/test_told.py]=2
  [tests/services/test_audit.py]=3
  [tests/faults/test_restorer.py]=4
  [tests/faults/test_transaction.py]=10
  [tests/stacks/test_native.py]=22
  [tests/stacks/test_stacks.py]=46
)

# paths NUMBER FOLDER...: what of these folders the release with this number runs. The formula, the ways in and the lab
# test Salt itself, and so do each wing's way from the pillar and its plug-ins: these run on every release. The other
# tests of a wing are about the kernel and daemons, and rooms that know nothing of Salt: each file runs once, on the
# release that has the least to do so far; and so do those that take minutes: of thousands of pillars, of waiting for
# masters, file servers, and each other's answers, or of one drift after another.
# The array `releases` has all of them.
paths() {
  local folder file each least loads=("${releases[@]/*/0}")
  for folder in "${@:2}"; do
    for file in "$folder"/test_*.py; do
      case $file in
        */test_pillar.py | */test_plugins.py) echo "$file" && continue ;;
        */test_malformed_pillars.py | */test_sysctl_*.py | */test_zones.py) ;;
        */test_confirm*.py | */test_rollout.py | */test_prober.py | */test_gitfs.py) ;;
        */test_gate*.py | */test_managers.py | */test_guest.py | */test_orchestration.py) ;;
        tests/lab/test_drift.py | tests/lab/test_firewall.py | tests/lab/test_master.py | tests/lab/test_salt_ssh.py) ;;
        tests/formula/* | tests/lab/* | tests/integration/*) echo "$file" && continue ;;
      esac
      least=0
      for each in "${!loads[@]}"; do
        ((loads[each] >= loads[least])) || least=$each
      done
      [ "$least" != "$1" ] || echo "$file"
      loads[least]=$((loads[least] + ${weights[$file]:-1}))
    done
  done
}
