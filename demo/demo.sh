#!/usr/bin/env bash
# The demo of Lagrange, on this machine: a real Kafka, a real Kubernetes node, three consumer
# groups, and a load that rises and falls.
#
#   demo.sh            same as `make demo`. Ends everything that it starts, also after Ctrl-C,
#                      SIGTERM or a failed step
#
# DEMO_SECONDS         length of the live part (default 240, in which the groups grow and shrink);
#                      with more, the load repeats
# LAGRANGE_CACHE       where Kafka and the built Kubernetes are kept (default ~/.cache/lagrange)
# NO_COLOR             no colours
#
# The node is made by kind, with Docker or with podman, which root gets installed on Debian.
#
# The first run downloads Kafka, builds Kubernetes from its Go modules and compiles Lagrange: a
# quarter of an hour on two cores. In later runs the load begins after half a minute. Without a
# terminal the demo prints lines instead of a screen.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${DEMO_SECONDS:-240}
case ${1:-} in
  '') ;;
  -h | --help) awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "${BASH_SOURCE[0]}"; exit ;;
  *) echo "demo.sh takes no arguments; see demo.sh --help" >&2; exit 2 ;;
esac
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || { echo "DEMO_SECONDS is a number of seconds, not '$seconds'" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/lagrange-demo.XXXXXX")
owner=$$
export work owner
mkdir "$work/log"

# --- clean-up ------------------------------------------------------------------------------------

child=    # a step, in its own session
producer= # the load, in its own session
screen=   # the screen, in this session, for the terminal
keep=     # if not empty, the logs are kept

interrupted() { # interrupted SIGNAL STATUS
  trap '' INT TERM HUP
  [ "$1" != HUP ] || exec > /dev/null 2>&1 # the terminal is closed
  if [ -n "$child" ]; then kill -TERM -- "-$child" 2> /dev/null || true; wait "$child" 2> /dev/null || true; fi
  # The screen restores the terminal and prints the summary.
  if [ -n "$screen" ]; then kill -TERM "$screen" 2> /dev/null || true; wait "$screen" 2> /dev/null || true; fi
  exit "$2"
}
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM
trap 'interrupted HUP 129' HUP
trap 'clean_up $?' EXIT

clean_up() {
  local status=$1 downs=()
  trap '' INT TERM HUP
  trap - EXIT
  [ ! -t 1 ] || printf '\r\e[K'
  # Clients first: a client that loses the cluster would try other addresses.
  if [ -n "$producer" ]; then kill -TERM -- "-$producer" 2> /dev/null || true; wait "$producer" 2> /dev/null || true; fi
  if [ -n "$keep" ]; then "$root/demo/steps.sh" logs > /dev/null 2>&1 || true; fi
  printf 'Cleaning up ... '
  "$root/tests/env/kubernetes/kube.sh" down "$work/cluster" > "$work/log/down.log" 2>&1 & downs+=($!)
  "$root/tests/env/kafka/kafka.sh" down "$work/kafka" >> "$work/log/down.log" 2>&1 & downs+=($!)
  if ! wait_for "${downs[@]}"; then
    keep=yes
    [ "$status" != 0 ] || status=1
    printf '\nsomething could not be ended; see %s\n' "$work/log/down.log" >&2
  fi
  if [ -n "$keep" ]; then
    # What is left of cluster/ names a cluster that could not be deleted.
    find "$work" -mindepth 1 -maxdepth 1 ! -name log ! -name cluster -exec rm -rf {} +
  else
    rm -rf "$work"
  fi
  echo "done"
  exit "$status"
}
wait_for() {
  local pid failed=0
  for pid in "$@"; do wait "$pid" || failed=1; done
  return "$failed"
}

# --- the steps -----------------------------------------------------------------------------------

began=$SECONDS
number=0
count=8
elapsed() { # elapsed SINCE: 1m05s
  local s=$((SECONDS - $1))
  if [ $s -lt 60 ]; then echo "${s}s"; else printf '%dm%02ds\n' $((s / 60)) $((s % 60)); fi
}
# last_line FILE COLUMNS: the last line of a step's output, cut to COLUMNS.
last_line() { tail -c 2000 "$1" 2> /dev/null | tr '\r' '\n' | tr -cd '[:print:]\n' | grep -v '^ *$' | tail -n 1 | cut -c "1-$2"; }

# step NAME WHAT ADVICE: runs one step of steps.sh. Shows WHAT, the time so far and the last line of
# output; if the step fails, ADVICE.
step() {
  local name=$1 what=$2 advice=$3 at=$SECONDS log=$work/log/$1.log status=0 columns next=15
  number=$((number + 1))
  what="[$number/$count] $what"
  [ -t 1 ] || echo "$what ..."
  setsid "$root/demo/steps.sh" "$name" > "$log" 2>&1 < /dev/null &
  child=$!
  while kill -0 "$child" 2> /dev/null; do
    if [ -t 1 ]; then
      columns=$(tput cols 2> /dev/null || echo 80)
      printf '\r\e[K%s  %s  %s' "$what" "$(elapsed "$at")" "$(last_line "$log" $((columns > ${#what} + 14 ? columns - ${#what} - 14 : 1)))"
    elif [ $((SECONDS - at)) -ge $next ]; then
      next=$((next + 15))
      echo "      $(elapsed "$at")  $(last_line "$log" 100)"
    fi
    sleep 0.5
  done
  wait "$child" || status=$?
  child=
  [ ! -t 1 ] || printf '\r\e[K'
  if [ "$status" != 0 ]; then
    echo "$what failed after $(elapsed "$at")"
    tail -n 15 "$log" | sed 's/^/      /'
    keep=yes
    echo
    echo "What to do: $advice"
    echo "Full output: $log; the other logs are in the same directory"
    exit 1
  fi
  if [ -t 1 ]; then echo "$what  $(elapsed "$at")"; else echo "      done in $(elapsed "$at")"; fi
}

echo "Lagrange demo: everything runs on this machine and is removed at the end. Ctrl-C stops it at any time."
step tools "Check this machine" "install what is missing; \`make demo\` needs Rust, Go, Java 17, Maven, a C++ compiler, and Docker or root"
step prepare "Fetch Kafka, build Kubernetes, compile Lagrange (the first time 6 to 12 minutes)" \
  "check that Maven Central, the Go module proxy (go env GOPROXY) and crates.io are reachable and that 8 GB of disk are free, and run the demo again: what is done is kept"
step node "Start a Kubernetes node" "see cluster/ next to the log; \`tests/env/kubernetes/kube.sh can-run\` checks this machine"
step kafka "Start Kafka, create the topic order-events with 6 partitions" "see kafka/ next to the log; check that 300 MB of memory are free"
step images "Make images and load them into the node" "run the demo again; if it fails again, see cluster/ next to the log"
step install "Install Lagrange with Helm" "operator.log and pods-and-events.txt next to the log show why the operator is not ready"
step groups "Apply examples/order-events" "the log shows what the API server refused"
step members "Wait for the consumers to join their groups" "pods-and-events.txt and groups.yaml next to the log show what is missing"
echo "Ready after $(elapsed "$began")."

# --- the live part -------------------------------------------------------------------------------

target=${CARGO_TARGET_DIR:-$root/target}/debug
# The load of load.csv, repeated for the length of the demo.
awk -F, -v length_="$seconds" '
  /^[0-9]/ {at[n] = $1; rate[n++] = $2}
  END {for (lap = 0; lap * at[n - 1] <= length_; lap++) for (i = lap > 0; i < n; i++) print lap * at[n - 1] + at[i] "," rate[i]}
' "$root/demo/load.csv" > "$work/load.csv"
setsid setpriv --pdeathsig TERM "$target/workload" produce --topic order-events --rates "$work/load.csv" --duration "${seconds}s" --output json \
  --bootstrap-servers "$("$root/tests/env/kafka/kafka.sh" bootstrap "$work/kafka")" > "$work/load.jsonl" 2> "$work/log/load.log" < /dev/null &
producer=$!

# setpriv: producer and screen end with this script even if it is killed, as node and brokers do
# (--owner).
status=0
setpriv --pdeathsig TERM "$target/demo-screen" --kubectl "$("$root/tests/env/kubernetes/kube.sh" bin)/kubectl" --kubeconfig "$work/cluster/admin.kubeconfig" \
  --load "$work/load.jsonl" --seconds "$seconds" &
screen=$!
wait "$screen" || status=$?
screen=
if [ "$status" != 0 ]; then
  keep=yes
  echo "The screen failed; the logs are in $work/log" >&2
fi
[ "$status" = 0 ]
