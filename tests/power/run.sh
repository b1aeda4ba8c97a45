#!/bin/bash
# run.sh [PYTEST ARGUMENTS]: power cuts at many steps of a run, in about twenty minutes. bin/test has a sample of them.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lab/prepare.sh
release=${SALT:-3008}
prepare "$release"
exec bash tests/enclosure.sh "$(salt_python "$release")" -m pytest -p no:cacheprovider -s tests/power "$@"
