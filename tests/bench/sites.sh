#!/bin/bash
# sites.sh [NUMBER...]: what it costs to judge many sites in both families, beside asking each of them once, plainly.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lab/prepare.sh
prepare "${SALT:-3008}"
exec bash tests/enclosure.sh "$(salt_python "${SALT:-3008}")" -W ignore -m tests.bench.sites "$@"
