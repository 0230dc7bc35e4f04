#!/usr/bin/env bash
# Tells stories to the controller on a real API server and compares what it makes of them with what the original,
# agent-sandbox in Go, has made of them.
#
#   [STORIES=DIR] tests/differential/run.sh [--only WORD]
#
# The recorded answers are not part of this repository. STORIES is the folder that has them, with `run.py`,
# `stories.py` and `answers/`; without it, a folder `differential` beside the checkout is taken if there is one.
# told.py lists the stories that are told, accept.txt the differences that are meant.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

skip() { echo "skipped: differential: $*"; exit 0; }

if [ -z "${STORIES:-}" ]; then
  for found in ../*/differential/stories.py; do
    [ ! -f "$found" ] || STORIES=$(cd "$(dirname "$found")" && pwd)
  done
  [ -n "${STORIES:-}" ] || skip "no recorded answers here; set STORIES to the folder that has run.py and answers/"
elif [ ! -f "$STORIES/run.py" ]; then
  echo "STORIES=$STORIES: there is no run.py" >&2
  exit 2
fi
command -v python3 > /dev/null || skip "it needs python3"

export STORIES PYTHONDONTWRITEBYTECODE=1
exec tests/with-controller.sh python3 "$STORIES/run.py" --stories "$here/told.py" --answers "$STORIES/answers" \
  --accept "$here/accept.txt" "$@"
