#!/usr/bin/env bash
# The proxy function, as built for deployment, under `cargo lambda watch`: streams of both upstreams.
#
#   tests/clients/lambda-watch.sh BIN_DIR WORLD
#
# BIN_DIR holds the built `proxy`; see lambda_watch.py for WORLD.
set -euo pipefail

functions=${1:?usage: lambda-watch.sh BIN_DIR WORLD}
world=${2:?usage: lambda-watch.sh BIN_DIR WORLD}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../.ci/tools.sh
. "$here/../../.ci/tools.sh"

python=$(python_with_judges)
exec "$python" -B "$here/lambda_watch.py" --cargo-lambda "$(dirname "$python")/cargo-lambda" \
    --function "$functions/proxy" --world "$world"
