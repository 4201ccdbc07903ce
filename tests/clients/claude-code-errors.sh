#!/usr/bin/env bash
# The real Claude Code when its plan answers with an error, straight and through `spillway up --demo`:
# how often it asks and what it prints. Needs npm for the pinned client; everything else is loopback.
#
#   tests/clients/claude-code-errors.sh SPILLWAY
set -euo pipefail

spillway=${1:?usage: claude-code-errors.sh SPILLWAY}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../.ci/tools.sh
. "$here/../../.ci/tools.sh"

claude=$(claude_code)
exec python3 -B "$here/claude_code_errors.py" --claude "$claude" --spillway "$spillway"
