#!/bin/bash
# test.sh: a Debian 12 and a Debian 13 with next to nothing installed get what bin/demo and bin/test need, and Salt by
# README's commands.
#
# This cannot be in an enclosure: it installs from the registries. Each Debian is made anew, and removed afterwards.
# What has passed is not tried again until something of it changes.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
if [ "${1:-}" != --inside ]; then # whatever is started here ends with this
  exec unshare --mount --pid --fork --kill-child --mount-proc bash "$0" --inside
fi
. tests/lab/prepare.sh
folder=$cache/clean

# commands_of_readme: those that install Salt on a server
commands_of_readme() {
  awk '/^## / { here = $0 == "## On your own server" }
    here && /^    / { print; found = 1 }
    here && found && !/^    / { exit }' README.md
}

# All that decides whether this passes, but for what the registries have.
what_is_tried() {
  cat bin/demo bin/test tests/clean/*.sh tests/enclosure.sh \
    tests/lab/{prepare.sh,root.sh,kernel.sh,guest.py,fence.sh,init.sh,topology.sh}
  _requirements 3006
  _requirements 3008
  commands_of_readme
}

# on_a_fresh_machine WHAT COMMANDS: runs them there; on failure, shows what they said, and ends this
on_a_fresh_machine() {
  local begin=$SECONDS
  rm -rf --one-file-system "$folder/machine"
  cp -a "$folder/fresh" "$folder/machine"
  bash tests/clean/machine.sh "$folder/machine" bash -euo pipefail -c "$2" >"$folder/said" 2>&1 </dev/null || {
    cat "$folder/said"
    echo "$1: FAILED"
    exit 1
  }
  echo "$1: passed, in $((SECONDS - begin)) s"
}

try() {
  local stamp
  stamp=$cache/clean-$1-$(what_is_tried | _digest)
  if [ -e "$stamp" ]; then
    echo "$1: passed on $(date -r "$stamp" +%F), and nothing that this tries has changed since"
    return
  fi
  _packages
  rm -rf --one-file-system "$folder"
  mkdir "$folder"
  mmdebstrap --quiet --variant=minbase --include=git,python3,python3-venv,ca-certificates \
    --aptopt='APT::Get::Assume-Yes "true"' "$1" "$folder/fresh"
  on_a_fresh_machine "$1, Salt by README's commands" "
    apt-get update
    $(commands_of_readme)
    salt-call --local test.version"
  on_a_fresh_machine "$1, bin/demo and bin/test" '
    bin/demo ip link show eth0
    SALT=3008 bin/test tests/integration/test_guest.py::test_output_and_exit_status_come_back'
  touch "$stamp"
}

mkdir -p "$cache"
exec 8>"$cache/clean.lock"
flock 8 # another run may be at it
trap 'rm -rf --one-file-system "$folder"' EXIT
export LC_ALL=C.UTF-8
# Not `try ... || failed=1`: with that, bash would go on after a failure in the middle of it.
try bookworm
try trixie
