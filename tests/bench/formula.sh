#!/bin/bash
# formula.sh: what a whole run without changes costs, beside a run of as many states that do nothing, in the guest.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lab/prepare.sh
prepare "${SALT:-3008}"
python=$(salt_python "${SALT:-3008}")
exec /usr/bin/python3 tests/lab/guest.py --root "$LAB_ROOT" --share "$PWD" --share "$(dirname "$(dirname "$python")")" -- \
  env -C "$PWD" bash tests/lab/topology.sh "$python" -W ignore -m tests.bench.formula
