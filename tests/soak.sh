#!/usr/bin/env bash
# Long runs with load and faults, and the unsafe code under Valgrind: two hours in total.
#
#   tests/soak.sh            day, chaos, fuzz, kills, handovers, hostile, then memcheck
#   tests/soak.sh day        twelve hours of a recorded day in twenty minutes, on a real node with
#                            real consumers that the operator scales (tests/e2e_scenarios/day.rs):
#                            lateness, scalings, rebalances, and the prediction of the simulator
#   tests/soak.sh chaos      three secure brokers behind a proxy, random faults, a check of every
#                            snapshot (tests/kafka_chaos). The summary at the end has polls,
#                            comparisons, faults, and the resources of the process at each rest
#   tests/soak.sh fuzz       mangled input for every parser of untrusted bytes, all parsers at the
#                            same time, for five minutes
#   tests/soak.sh kills      two operators that are killed at random and started again at once, for
#                            ten minutes (tests/cluster_controller/killed.rs). It fails if one ends
#                            by itself, and shows the log of that one
#   tests/soak.sh handovers  two operators and 120 hand-overs of the Lease: kill -9, SIGSTOP, SIGTERM,
#                            partitions, edits and deletion of the Lease, a clock that is set by an
#                            hour (tests/cluster_controller/leader). The audit log has to show one
#                            writer and the pacing. Prints the times of the take-overs, by fault
#   tests/soak.sh hostile    an operator with the limits of the chart, and a hostile user with the
#                            rights of one namespace, for ten minutes
#   tests/soak.sh memcheck   reads, logins, refusals, renewals and a little chaos under Valgrind: no
#                            invalid access, no uninitialised memory, no leak
#                            (tests/valgrind.supp lists what is in other libraries)
#
# LAGRANGE_DAY_SECONDS is the length of the day (1200), LAGRANGE_CHAOS_SECONDS that of the chaos
# (1800), LAGRANGE_FUZZ_SECONDS the time for each parser (300), LAGRANGE_KILL_SECONDS the length of
# the kills (600), LAGRANGE_HANDOVERS the number of hand-overs (120), LAGRANGE_HOSTILE_SECONDS the
# length of the hostile user (600). LAGRANGE_HANDOVER_LEASE is the lease in seconds (3; the default of
# the operator is 15), and LAGRANGE_HANDOVER_FAULTS selects faults (kill,stop). LAGRANGE_CHAOS_SEED
# selects the faults of the chaos; a run prints its seed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

day() {
  LAGRANGE_DAY_SECONDS=${LAGRANGE_DAY_SECONDS:-1200} cargo test --workspace --test e2e_scenarios --features lagrange/e2e -- day:: --nocapture
}

chaos() {
  LAGRANGE_CHAOS_SECONDS=${LAGRANGE_CHAOS_SECONDS:-1800} cargo test --workspace --test kafka_chaos -- --nocapture
}

fuzz() {
  LAGRANGE_FUZZ_SECONDS=${LAGRANGE_FUZZ_SECONDS:-300} cargo test --workspace --lib -- mangled --nocapture
}

kills() {
  LAGRANGE_KILL_SECONDS=${LAGRANGE_KILL_SECONDS:-600} cargo test --workspace --test cluster_controller -- killed:: --nocapture
}

handovers() {
  LAGRANGE_HANDOVERS=${LAGRANGE_HANDOVERS:-120} cargo test --workspace --test cluster_controller -- leader:: --nocapture
}

hostile() {
  LAGRANGE_HOSTILE_SECONDS=${LAGRANGE_HOSTILE_SECONDS:-600} cargo test --workspace --test hostile -- --nocapture
}

memcheck() {
  if ! command -v valgrind > /dev/null; then
    echo "memcheck needs Valgrind: install the package valgrind" >&2
    exit 1
  fi
  checked kafka_real
  checked kafka_secure
  # Valgrind has its own allocator and runs all threads on one core, so the resources of the process
  # are not checked here.
  LAGRANGE_CHAOS_SECONDS=60 checked kafka_chaos --nocapture
}

checked() { # checked TEST [OPTION...]
  local test=$1
  shift
  # --fair-sched: otherwise a busy thread starves the threads that respond to it.
  cargo test --workspace --test "$test" --config "target.'cfg(all())'.runner = [
    'valgrind', '--error-exitcode=9', '--leak-check=full', '--errors-for-leak-kinds=definite', '--show-leak-kinds=definite',
    '--suppressions=$PWD/tests/valgrind.supp', '--fair-sched=yes', '--child-silent-after-fork=yes', '--num-callers=30']" \
    -- --test-threads 2 "$@"
}

case ${1:-all} in
  all) day; chaos; fuzz; kills; handovers; hostile; memcheck ;;
  day | chaos | fuzz | kills | handovers | hostile | memcheck) "$1" ;;
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" ;;
  *) echo "unknown part '$1': write day, chaos, fuzz, kills, handovers, hostile or memcheck, or nothing for all" >&2; exit 2 ;;
esac
