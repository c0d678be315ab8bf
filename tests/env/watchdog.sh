#!/usr/bin/env bash
# watchdog.sh OWNER_PID OWNER_START SCRIPT STATE: runs `SCRIPT down STATE` when the owner ends,
# however it ends. Started by `up --owner PID` (lib.sh), because a test process that is killed
# cannot clean up.
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
