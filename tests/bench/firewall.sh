#!/bin/bash
# firewall.sh [SIZE...]: what the firewall costs, beside the bare commands and Salt's own states, in one run.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lab/prepare.sh
prepare "${SALT:-3008}"
exec bash tests/enclosure.sh "$(salt_python "${SALT:-3008}")" -W ignore -m tests.bench.firewall "$@"
