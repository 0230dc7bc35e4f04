#!/usr/bin/env bash
# Runs the official Python client, unmodified, against this project's controller on a real API server.
#
#   tests/clients/python/run.sh [WORD]
#
# WORD picks the flows of flows.py that have it in their names. The client is the newest that pip can get; CLIENT, as in
# CLIENT='k8s-agent-sandbox[async]==1.0.8', names another. It is installed into ${XDG_CACHE_HOME:-~/.cache}/agent-sandbox.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../../.."

# What cannot be had is a failure where REQUIRE_APISERVER=1 demands the cluster tests, and a skipped test elsewhere.
missing() {
  if [ "${REQUIRE_APISERVER:-}" = 1 ]; then
    echo "FAILED: python_client: $*" >&2
    exit 1
  fi
  skip "$*"
}
skip() { echo "skipped: python_client: $*"; exit 0; }

[ "${REQUIRE_APISERVER:-}" != 0 ] || skip "REQUIRE_APISERVER=0"
venv=${XDG_CACHE_HOME:-$HOME/.cache}/agent-sandbox/tools/python-client
if [ ! -x "$venv/bin/pip" ]; then
  python3 -m venv "$venv" > /dev/null 2>&1 || missing "python3 with venv and pip is not here"
fi
if ! log=$("$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade --retries 1 --timeout 15 \
  "${CLIENT:-k8s-agent-sandbox[async]}" 2>&1); then
  if ! grep -qE 'NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|Name or service not known' <<< "$log"; then
    printf '%s\n' "$log" >&2
    missing "pip cannot install the client"
  fi
  # Nothing that a change of this repository could mend.
  "$venv/bin/python" -c 'import k8s_agent_sandbox' 2> /dev/null || skip "pip cannot reach a package index"
  echo "pip cannot reach a package index, so the client is the one of an earlier run"
fi

status=0
PYTHONDONTWRITEBYTECODE=1 tests/with-controller.sh "$venv/bin/python" "$here/flows.py" "$@" || status=$?
[ $status -ne 3 ] || missing "there is no control plane: run tests/control-plane/build.sh"
exit $status
