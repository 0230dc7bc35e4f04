#!/usr/bin/env bash
# Runs a command against this project's controller on a real API server, and takes both down afterwards.
#
#   tests/with-controller.sh COMMAND...
#
# The command finds the cluster in KUBECONFIG. Its exit code is returned; 3 says that there is no control plane here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --quiet --locked --package agent-sandbox-tests --bins
programs=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd)
base=/dev/shm
[ -d $base ] || base=${TMPDIR:-/tmp}
dir=$(mktemp -d "$base/with-controller-XXXXXX")
controller=
finish() {
  local status=$?
  [ -z "$controller" ] || kill "$controller" || true
  if [ $status -ne 0 ] && [ -f "$dir.log" ]; then
    echo "the controller's last warnings:"
    grep -E '"level":"(WARN|ERROR)"' "$dir.log" | tail -n 20 || true
  fi
  [ ! -e "$dir/kubeconfig" ] || "$programs/control-plane" down --dir "$dir" || true
  rm -rf "$dir" "$dir.log"
}
trap finish EXIT

KUBECONFIG=$("$programs/control-plane" up --dir "$dir")
export KUBECONFIG
"$programs/controller-under-test" --kubeconfig "$KUBECONFIG" --extensions --leader-elect=false \
  --metrics-bind-address 0 --health-probe-bind-address 0 --log-format json > "$dir.log" 2>&1 < /dev/null &
controller=$!
"$@"
