#!/usr/bin/env bash
# Faults and load for long, and the unsafe code under a checker. Nobody waits for it: two hours in all.
#
#   tests/soak.sh            day, chaos, fuzz, kills, hostile, then memcheck
#   tests/soak.sh day        twelve hours of a recorded day in twenty minutes, on a real node with real consumers under the operator
#                            (tests/e2e_scenarios/day.rs): lateness, scalings, rebalances, and what the simulator had foretold
#   tests/soak.sh chaos      three secure brokers behind a proxy, random faults, every snapshot checked (tests/kafka_chaos); a summary
#                            at the end: looks, what was compared, faults, and what the process held at each rest
#   tests/soak.sh fuzz       mangled input for every parser of foreign bytes, all at the same time for five minutes
#   tests/soak.sh kills      two operators that are killed at any moment and started again at once, for ten minutes
#                            (tests/cluster_controller/killed.rs): one that ends by itself fails it, and its log is shown
#   tests/soak.sh hostile    an operator under the chart's limits, and a user who does the worst that one namespace allows, for ten minutes
#   tests/soak.sh memcheck   reading, logins, refusals, renewals and a little chaos under Valgrind: no read or write outside of
#                            memory, nothing uninitialised, nothing lost (tests/valgrind.supp names what is not ours)
#
# LAGRANGE_DAY_SECONDS is how long the day takes (1200), LAGRANGE_CHAOS_SECONDS how long the chaos goes on (1800);
# LAGRANGE_FUZZ_SECONDS is the time for each parser (300), LAGRANGE_KILL_SECONDS that of the kills (600), LAGRANGE_HOSTILE_SECONDS that of the hostile user (600).
# LAGRANGE_CHAOS_SEED chooses the faults: a run prints its own.
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
  # The allocator is Valgrind's here, and all threads take turns on one core: what the process holds is judged without it.
  LAGRANGE_CHAOS_SECONDS=60 checked kafka_chaos --nocapture
}

checked() { # checked TEST [OPTION...]
  local test=$1
  shift
  # Taking turns fairly: otherwise a thread that is busy starves those that answer it.
  cargo test --workspace --test "$test" --config "target.'cfg(all())'.runner = [
    'valgrind', '--error-exitcode=9', '--leak-check=full', '--errors-for-leak-kinds=definite', '--show-leak-kinds=definite',
    '--suppressions=$PWD/tests/valgrind.supp', '--fair-sched=yes', '--child-silent-after-fork=yes', '--num-callers=30']" \
    -- --test-threads 2 "$@"
}

case ${1:-all} in
  all) day; chaos; fuzz; kills; hostile; memcheck ;;
  day | chaos | fuzz | kills | hostile | memcheck) "$1" ;;
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" ;;
  *) echo "no '$1': write day, chaos, fuzz, kills, hostile or memcheck, or nothing for all" >&2; exit 2 ;;
esac
