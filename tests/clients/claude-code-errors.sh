#!/usr/bin/env bash
# The real Claude Code when its plan responds with an error, without and with `spillway up --demo`: its
# requests and its output. Needs npm for the pinned client; everything else is loopback.
#
#   tests/clients/claude-code-errors.sh SPILLWAY
set -euo pipefail

spillway=${1:?usage: claude-code-errors.sh SPILLWAY}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../.ci/tools.sh
. "$here/../../.ci/tools.sh"

claude=$(claude_code)
exec python3 -B "$here/claude_code_errors.py" --claude "$claude" --spillway "$spillway"
