#!/usr/bin/env bash
# watchdog.sh OWNER_PID OWNER_START SCRIPT STATE: takes STATE down by SCRIPT once the owner has ended, however it ended.
# Started by `up --owner PID` (lib.sh). A test process that was killed cannot clean up; this can.
set -uo pipefail
owner=$1 since=$2 script=$3 STATE=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
while [ "$(started_at "$owner")" = "$since" ]; do
  [ -e "$STATE/type" ] || exit 0
  doze 0.5
done
echo "process $owner has ended"
exec "$script" down "$STATE"
