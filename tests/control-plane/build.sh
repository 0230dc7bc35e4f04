#!/usr/bin/env bash
# Builds a Kubernetes control plane for tests: etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
# kubectl, and kwok, which plays the nodes. Nothing but Go and its module proxy is needed.
#
# usage: tests/control-plane/build.sh [DIR]
#
# DIR is by default the place where the tests look by themselves:
# ${XDG_CACHE_HOME:-~/.cache}/agent-sandbox/control-plane-<version of Kubernetes>.
# The first build takes about 6 minutes on 2 cores and leaves 420 MB in DIR; once DIR is complete, a call returns
# at once. Prints DIR on standard output, and what it does on standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kwok_version=v0.8.0
case ${1:-} in
  -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
esac

# go.mod is where the version of Kubernetes is written down; everything else follows it.
kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$here/go.mod")
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/agent-sandbox/control-plane-$kubernetes}
mkdir -p "$(dirname "$dir")"
dir=$(cd "$(dirname "$dir")" && pwd)/$(basename "$dir")

# The stamp says from which sources DIR was built. It is part of DIR, so it appears together with the programs.
stamp=$(cd "$here" && find build.sh go.mod go.sum cmd -type f | LC_ALL=C sort | xargs cksum)
is_built() { [ "$(cat "$dir/stamp" 2>/dev/null)" = "$stamp" ]; }
if is_built; then
  echo "$dir"
  exit 0
fi

if [ ! -e "$dir/stamp" ] && [ -n "$(ls -A "$dir" 2>/dev/null)" ]; then
  echo "build.sh: $dir holds something else, and would be replaced: give another DIR" >&2
  exit 1
fi
if ! command -v go > /dev/null; then
  echo "build.sh: no 'go' in PATH: install Go $(awk '$1 == "go" { print $2 }' "$here/go.mod") or newer" >&2
  exit 1
fi

# Two builds into one place would waste each other's time, so the second waits and then finds the work done.
if command -v flock > /dev/null; then
  exec 9> "$dir.lock"
  flock 9
  if is_built; then
    echo "$dir"
    exit 0
  fi
fi

# Everything goes to a folder beside DIR and takes DIR's name at the end: a killed build leaves no half of a DIR.
new=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$new"' EXIT
cd "$here"

# Clients learn the server's version from these variables; without them it would call itself v0.0.0.
minor=${kubernetes#v1.}
minor=${minor%%.*}
variables=k8s.io/component-base/version
echo "build.sh: building Kubernetes $kubernetes (minutes, when Go's build cache is cold)" >&2
go build -o "$new/" \
  -ldflags="-s -w -X $variables.gitVersion=$kubernetes -X $variables.gitMajor=1 -X $variables.gitMinor=$minor" ./cmd/...

# kwok needs other versions of the same modules, so it is built as a program of its own, from its own go.mod.
echo "build.sh: building kwok $kwok_version" >&2
GOBIN=$new go install -ldflags='-s -w' "sigs.k8s.io/kwok/cmd/kwok@$kwok_version"

# Stages tell kwok what a node does: it becomes Ready and stays so, its Pods start at once and end when deleted, and
# volume claims get their volumes.
stages=$(go mod download -json "sigs.k8s.io/kwok@$kwok_version" | awk -F'"' '$2 == "Dir" { print $4 }')/kustomize/stage
mkdir "$new/stages"
cp "$stages"/pod/fast/pod-*.yaml "$stages"/node/fast/node-*.yaml "$stages"/node/heartbeat-with-lease/node-*.yaml \
  "$stages"/volume/fast/pv*.yaml "$new/stages/"
cp "$stages/volume/fast/storage-class.yaml" "$new/"
chmod -R u+w,go+rX "$new" # The module cache is read-only.

echo "$stamp" > "$new/stamp"
rm -rf "$dir"
mv "$new" "$dir"
trap - EXIT
echo "$dir"
