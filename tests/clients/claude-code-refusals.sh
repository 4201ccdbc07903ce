#!/usr/bin/env bash
# The output of the real Claude Code for each error of Spillway, compared with docs/troubleshoot.md.
# Needs npm for the pinned client; everything else is loopback.
#
#   tests/clients/claude-code-refusals.sh SPILLWAY [--write]
set -euo pipefail

spillway=${1:?usage: claude-code-refusals.sh SPILLWAY [--write]}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../.ci/tools.sh
. "$here/../../.ci/tools.sh"

claude=$(claude_code)
exec python3 -B "$here/claude_code_refusals.py" --claude "$claude" --spillway "$spillway" "${@:2}"
