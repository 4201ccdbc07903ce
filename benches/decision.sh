#!/usr/bin/env bash
# The cost of the routing decision: instructions per request for buffering, for the verdict and for the
# breaker's transitions, and the calls of DynamoDB for the breaker. Callgrind counts the instructions as the
# difference between two runs; they are the same on any x86-64 machine under any load. With --gate, more than
# twice the measured number fails.
#
#   benches/decision.sh [--gate]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source-path=SCRIPTDIR source=callgrind.sh
. benches/callgrind.sh

build_example verdict_cost

# The second number is the maximum that passes with --gate.
failed=0
printf '%-10s %24s %10s\n' part 'instructions a request' 'at most'
while read -r part most; do
    few=$(count "$part" 1000)
    many=$(count "$part" 3000)
    each=$(((many - few) / 2000))
    printf '%-10s %24s %10s\n' "$part" "$each" "$most"
    if ((each > most)); then failed=1; fi
done <<'PARTS'
nothing 100
hold 7000
verdict 300
limit 34000
breaker 1100
PARTS

echo
# The whole workspace: a part of it would be compiled again with fewer features.
cargo build --workspace --locked --quiet --example table_calls
"${CARGO_TARGET_DIR:-target}/debug/examples/table_calls"

if [[ ${1:-} == --gate ]]; then exit "$failed"; fi
