#!/usr/bin/env bash
# The cost of translating large requests: instructions per byte, and the factor for four times the bytes.
# Callgrind counts the instructions as the difference between a run with the translation and one without;
# they are the same on any x86-64 machine under any load. With --gate, a cost that grows faster than the
# request fails.
#
#   benches/translation.sh [--gate]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source-path=SCRIPTDIR source=callgrind.sh
. benches/callgrind.sh

build_example translation_cost

# cost SHAPE KILOBYTES DIALECT: instructions of the translation.
cost() {
    echo $(($(count "$1" "$2" "$3") - $(count "$1" "$2" "$3" 0)))
}

# Four times the bytes cost at most 4.5 times the instructions: linear except for the depth of sorted sets.
# A quadratic cost is 16 times as much; the limit detects it from a twentieth of the whole on.
failed=0
printf '%-18s %-9s %8s %8s %16s %8s\n' shape dialect from to 'instr. a byte' ratio
while read -r shape dialect kilobytes; do
    few=$(cost "$shape" "$kilobytes" "$dialect")
    many=$(cost "$shape" $((kilobytes * 4)) "$dialect")
    ratio=$((many * 100 / few))
    printf '%-18s %-9s %5s kB %5s kB %16s %5s.%02d\n' "$shape" "$dialect" "$kilobytes" \
        $((kilobytes * 4)) $((many / kilobytes / 4000)) $((ratio / 100)) $((ratio % 100))
    if ((ratio > 450)); then failed=1; fi
done <<'SHAPES'
conversation converse 1000
parallel_calls converse 125
unanswered_calls converse 125
messages converse 125
tools converse 125
references invoke 125
removals converse 125
definitions converse 125
client_tools converse 125
long_names converse 125
marks converse 125
documents converse 125
betas converse 125
context_edits invoke 125
unknown_fields converse 125
SHAPES

if [[ ${1:-} == --gate ]]; then exit "$failed"; fi
