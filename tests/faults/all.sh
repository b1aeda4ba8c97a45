#!/bin/bash
# all.sh [ARGUMENTS OF tests/faults/harness.py]: strikes runs of the whole formula with every fault, and prints a table.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lab/prepare.sh
prepare "${SALT:-3008}"
exec "$(salt_python "${SALT:-3008}")" -W ignore -m tests.faults.harness "$@"
