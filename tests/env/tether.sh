#!/usr/bin/env bash
# tether.sh PID OWNER: kills process PID when process OWNER ends, however it ends. Ends when PID
# ends. It is for a child without a state directory, the operator of a test: a test program that is
# killed cannot end its children.
set -euo pipefail
script=${BASH_SOURCE[0]}
# shellcheck source=lib.sh
. "$(dirname "$script")/lib.sh"
case ${1:-} in -h | --help) usage; exit ;; esac
[ $# = 2 ] || { usage >&2; exit 2; }
pid=$1 owner=$2
since=$(started_at "$pid") || exit 0
owner_since=$(started_at "$owner") || owner_since=gone
while [ "$(started_at "$pid")" = "$since" ]; do
  if [ "$(started_at "$owner")" != "$owner_since" ]; then
    kill -KILL "$pid" 2> /dev/null || true
    exit 0
  fi
  doze 0.5
done
