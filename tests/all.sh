#!/usr/bin/env bash
# Runs the levels of the test suite in order, cheapest first, and stops at the first that fails.
#
#   tests/all.sh               all levels except gssapi
#   tests/all.sh LEVEL...      only these, in this order:
#                              format lint unit docs environment chart environment-check
#                              integration hostile end-to-end
#   tests/all.sh gssapi        the tests that need a build with Kerberos
#
# A level that this machine cannot run is listed at the end as NOT RUN; with CI=true that is a
# failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

# --- the levels ----------------------------------------------------------------------------------

format() { cargo fmt --all --check; }

lint() {
  # Not --all-features: gssapi compiles C code for minutes, and has its own level.
  cargo clippy --workspace --all-targets --features lagrange/e2e -- --deny warnings
  if command -v shellcheck > /dev/null; then
    shell_scripts | xargs -0 shellcheck --external-sources
  else
    skip "shellcheck" "install the package shellcheck"
  fi
  if command -v go > /dev/null; then
    go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
  else
    skip "actionlint" "install Go"
  fi
  if cargo deny --version > /dev/null 2>&1; then
    cargo deny check bans licenses sources
  else
    echo "licences and sources of dependencies are not checked: \`make deny\` installs cargo-deny"
  fi
}

shell_scripts() {
  find . \( -path ./target -o -path ./.state -o -path ./.git \) -prune \
    -o \( -name '*.sh' -o -path './.ci/*' -o -path '*/node/usr/local/bin/*' \) -type f -print0
}

unit() { cargo test --workspace --lib --bins; }

docs() {
  cargo test --workspace --doc
  # The documentation includes private items, so links to them are allowed.
  RUSTDOCFLAGS='--deny warnings --allow rustdoc::private_intra_doc_links' cargo doc --workspace --no-deps --document-private-items
}

# Fetches and builds what the later levels need. Within a test these minutes would look like a hang.
environment() {
  local version
  # The newest, the oldest, and versions that changed what a reader sees: see tests/kafka_versions.
  for version in 4.4.0 4.0.1 3.9.2 3.3.2; do tests/env/kafka/kafka.sh fetch --version "$version"; done
  tests/env/kubernetes/kube.sh fetch
  cargo build --workspace
}

# Checks the environment itself: runs side by side, and nothing left behind however they end.
environment-check() { tests/env/check.sh; }

chart() { run_tests "$(test_names 'chart*')"; }

integration() { run_tests "$(test_names '*' | grep -v -e '^chart' -e '^e2e' -e '^hostile')"; }

# An operator with the limits of the chart, and a hostile user with the rights of one namespace.
hostile() {
  local cannot
  if cannot=$(no_control_groups); then
    skip "hostile" "$cannot"
  else
    run_tests "$(test_names 'hostile')"
  fi
}

end-to-end() {
  local cannot
  if cannot=$(no_real_node); then
    skip "end-to-end" "$cannot"
  else
    # The first build of the image takes minutes, which within a test would look like a hang.
    tests/env/operator-image.sh localhost/lagrange:e2e --profile dev
    # Without the feature a plain `cargo test` would run them. They mostly wait, so there are more
    # threads than cores; e2e_scenarios runs three at a time, and e2e_chart one.
    RUST_TEST_THREADS=3 run_tests "$(test_names 'e2e*')" --features lagrange/e2e
  fi
}

# A build with Kerberos compiles librdkafka again, and the libraries of MIT and Cyrus, before the
# first test runs.
gssapi() {
  cargo clippy --workspace --all-targets --features lagrange/gssapi -- --deny warnings
  cargo test --workspace --lib --features lagrange/gssapi -- kafka intent credentials
  cargo test --workspace --features lagrange/gssapi --test cluster_controller -- identity kerberos
}

# --- helpers -------------------------------------------------------------------------------------

# What every build needs beside Rust and a compiler. On Debian this installs it or names it. A
# subshell, for lib.sh sets traps.
build_tools() (
  command -v apt-get > /dev/null || return 0
  # shellcheck disable=SC2034 # lib.sh puts it into messages
  script=${BASH_SOURCE[0]}
  # shellcheck source=env/lib.sh
  . tests/env/lib.sh
  need cmake:cmake pkg-config:pkg-config /usr/include/openssl/ssl.h:libssl-dev
)

# Test programs by name: NAME.rs or NAME/main.rs in tests/, in tests/ of the workload and of the
# crates.
test_names() {
  local file
  # shellcheck disable=SC2231 # $1 is a pattern
  for file in tests/$1.rs tests/$1/main.rs tests/workload/tests/$1.rs crates/*/tests/$1.rs; do
    [ -e "$file" ] || continue
    file=${file%/main.rs}
    basename "$file" .rs
  done
}

run_tests() { # run_tests NAMES [OPTION...]
  local names=() name
  for name in $1; do names+=(--test "$name"); done
  shift
  if [ ${#names[@]} = 0 ]; then
    skip "$level" "there are no such tests"
  else
    cargo test --workspace --no-run "${names[@]}" "$@"
    for name in "${names[@]#--test}"; do
      [ -z "$name" ] || run_test "$name" "$@"
    done
  fi
}

# Runs one test program. With CI=true a failed one runs once more, because a shared machine stalls
# now and then. The report at the end names it: such a test has a fault to investigate.
run_test() { # run_test NAME [OPTION...]
  local name=$1
  shift
  # Its tests mostly wait, so there are more threads than cores.
  if [ "$name" = cluster_controller ]; then set -- "$@" -- --test-threads 5; fi
  if cargo test --workspace --test "$name" "$@"; then return; fi
  if [ "${CI:-}" != true ]; then return 1; fi
  echo "$name failed and is run once more"
  cargo test --workspace --test "$name" "$@"
  unsteady+=("$name")
}

# Prints why this machine cannot run a real node; fails if it can.
no_real_node() {
  local said
  if said=$(tests/env/kubernetes/kube.sh can-run 2>&1); then return 1; fi
  tail -n 2 <<< "$said" | head -n 1
}

# Prints why this machine cannot confine a process; fails if it can.
no_control_groups() {
  if [ "$(id -u)" != 0 ]; then echo "needs root, to make control groups and to change the user"; return; fi
  if ! command -v setpriv > /dev/null; then echo "needs setpriv of util-linux"; return; fi
  if [ -w /sys/fs/cgroup/memory ] || grep -qw memory /sys/fs/cgroup/cgroup.controllers 2> /dev/null; then return 1; fi
  echo "needs the control groups of memory"
}

not_run=() unsteady=()
skip() { not_run+=("$1 ($2)"); }

# --- the run -------------------------------------------------------------------------------------

levels=("$@")
if [ ${#levels[@]} = 0 ]; then levels=(format lint unit docs environment chart environment-check integration hostile end-to-end); fi
for level in "${levels[@]}"; do
  case $level in
    format | lint | unit | docs | environment | chart | environment-check | integration | hostile | end-to-end | gssapi) ;;
    *) echo "no level '$level': write format, lint, unit, docs, environment, chart, environment-check, integration, hostile, end-to-end or gssapi" >&2; exit 2 ;;
  esac
done
build_tools

summary=()
began=$SECONDS
report() {
  echo
  echo "${bold}== Summary${plain}"
  printf '%s\n' "${summary[@]}"
  printf '   %-14s %5d s\n' "all" $((SECONDS - began))
}

level=
ended() {
  local status=$?
  [ -z "$level" ] || { summary+=("$(printf '   %-14s failed' "$level")"); report; }
  exit $status
}
trap ended EXIT
for level in "${levels[@]}"; do
  echo
  echo "${bold}== $level${plain}"
  at=$SECONDS
  "$level"
  summary+=("$(printf '   %-14s %5d s' "$level" $((SECONDS - at)))")
done
level=
report

for each in "${unsteady[@]}"; do echo "UNSTEADY: $each passed only at the second run"; done
for each in "${not_run[@]}"; do echo "NOT RUN: $each"; done
if [ ${#not_run[@]} -gt 0 ] && [ "${CI:-}" = true ]; then exit 1; fi
