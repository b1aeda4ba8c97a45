#!/bin/bash
# transaction.sh: what it costs that a run can be put back as a whole.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lab/prepare.sh
prepare "${SALT:-3008}"
PYTHONPATH=_modules exec bash tests/enclosure.sh "$(salt_python "${SALT:-3008}")" -m tests.bench.transaction
