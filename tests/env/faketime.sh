#!/usr/bin/env bash
# faketime.sh: prints the path of libfaketime, and installs it if it is missing. With LD_PRELOAD, the
# wall clock of one process can be set, also while it runs (FAKETIME_TIMESTAMP_FILE).
set -euo pipefail
script=${BASH_SOURCE[0]}
# shellcheck source=lib.sh
. "$(dirname "$script")/lib.sh"
case ${1:-} in -h | --help) usage; exit ;; esac
library=/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketimeMT.so.1
need "$library:libfaketime"
echo "$library"
