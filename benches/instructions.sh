#!/usr/bin/env bash
# Prints how many instructions the core needs for an event, for each of these numbers of sandboxes.
set -euo pipefail
cd "$(dirname "$0")/.."
bench=$(cargo bench --quiet --package agent-sandbox-benches --locked --bench core_events --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*core_events-[^"]*\)".*/\1/p')
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
for size in "$@"; do
    told=$(SANDBOXES=$size valgrind --tool=callgrind --callgrind-out-file="$counts" \
        --toggle-collect='core_events::play_measured' "$bench" --bench --test 2> /dev/null)
    events=$(sed -n 's/.*sandboxes: \([0-9]*\) events.*/\1/p' <<< "$told")
    instructions=$(sed -n 's/^summary: //p' "$counts")
    echo "$size sandboxes: $((instructions / events)) instructions an event"
done
