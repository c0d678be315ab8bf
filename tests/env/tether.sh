#!/usr/bin/env bash
# tether.sh PID OWNER: kills process PID once process OWNER has ended, however it ended; ends by itself when PID has.
# For what a test program starts without a state directory: the operator. A program that was killed cannot end its children.
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
