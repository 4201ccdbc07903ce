#!/usr/bin/env bash
# The real Claude Code through `spillway up --demo`: text, a tool loop, the plan's limit, and the
# continuation of the conversation on Bedrock. Needs npm for the pinned client; everything else is loopback.
#
#   tests/clients/claude-code.sh SPILLWAY
set -euo pipefail

spillway=${1:?usage: claude-code.sh SPILLWAY}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../.ci/tools.sh
. "$here/../../.ci/tools.sh"

claude=$(claude_code)
exec python3 -B "$here/claude_code.py" --claude "$claude" --spillway "$spillway"
