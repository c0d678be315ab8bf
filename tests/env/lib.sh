# shellcheck shell=bash
# shellcheck disable=SC2154 # script
# Sourced by every script here: messages, the shared cache, ports, processes that end with their
# owner. Bash 4.4 or later, Linux. A script sets `script` to its own path before it sources this.

env_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Shared by all clones: what is expensive to download or build. An entry is complete or absent.
cache=${LAGRANGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or LAGRANGE_CACHE}/.cache}/lagrange}

say() { printf '%s: %s\n' "$(basename "$script" .sh)" "$*" >&2; }
die() { # die WHAT [WHAT_TO_DO]
  say "$1"
  [ $# -lt 2 ] || say "  $2"
  exit 1
}
# Prints the comment block at the top of the script as its help.
usage() { awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "$script"; }

exec {never}<> <(:) # a pipe without a writer
# doze SECONDS: a sleep that starts no process. Use it only where no trap can run: bash 5.2 can
# crash on a trap during `read -t`.
doze() { read -rt "$1" -u "$never" || true; }

# --- long steps ----------------------------------------------------------------------------------

step_pid=
interrupted() { [ -z "$step_pid" ] || end_group "$step_pid"; }
# end_group PID: ends all of a process group, with SIGKILL after 5 s. A container engine needs a
# moment to end in an orderly way, and what it has begun is not deleted before that.
end_group() {
  local tries=100
  kill -TERM -- "-$1" 2> /dev/null || return 0
  while kill -0 -- "-$1" 2> /dev/null && [ $((tries--)) -gt 0 ]; do
    started_at "$1" > /dev/null || wait "$1" 2> /dev/null || true # a dead child is there until then
    sleep 0.05
  done
  kill -KILL -- "-$1" 2> /dev/null || true
}
trap 'interrupted; exit 130' INT
trap 'interrupted; exit 143' TERM HUP
# step LOG WHAT WHAT_TO_DO COMMAND...: runs an external command quietly, in its own session so that
# `interrupted` can end all of it, and so can `down` (end_starters). Reports every 15 s that the
# command still runs. On failure shows the end of its output and what to do.
step() {
  local log=$1 what=$2 advice=$3
  shift 3
  attempt "$log" "$what" "$@" || die "failed ($?): $what; the full output is in $log" "$advice"
}
# attempt LOG WHAT COMMAND...: the same for a command that may fail.
attempt() {
  local log=$1 what=$2 began=$SECONDS rc=0
  shift 2
  say "$what ..."
  setsid "$@" > "$log" 2>&1 < /dev/null &
  step_pid=$!
  [ ! -d "${STATE:-}/pid" ] || record step "$step_pid"
  ( exec 9>&- > /dev/null
    while doze 15; kill -0 "$step_pid" 2> /dev/null; do
      say "  still running after $((SECONDS - began)) s: $(tail -c 300 "$log" | tail -n 1 | cut -c 1-120)"
    done ) &
  local ticker=$!
  wait "$step_pid" || rc=$?
  step_pid=
  kill "$ticker" 2> /dev/null || true
  wait "$ticker" 2> /dev/null || true
  [ ! -d "${STATE:-}/pid" ] || rm -f "$STATE/pid/step"
  if [ "$rc" != 0 ]; then
    tail -n 20 "$log" >&2
    return "$rc"
  fi
  say "  done in $((SECONDS - began)) s"
}

# need COMMAND_OR_FILE:DEBIAN_PACKAGE...: installs what is missing, or reports what to install.
need() {
  local missing=() it
  for it in "$@"; do
    command -v "${it%%:*}" > /dev/null || [ -e "${it%%:*}" ] || missing+=("${it#*:}")
  done
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    die "missing: ${missing[*]}" "Debian and Ubuntu: sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
  mkdir -p "$cache"
  lock "$cache/apt"
  # shellcheck disable=SC2016 # expanded by the inner shell
  step "$cache/apt.log" "Installing Debian packages: ${missing[*]}" "Is the package mirror reachable? Try: apt-get update" \
    bash -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"' _ "${missing[@]}"
  unlock
}

# --- the cache -----------------------------------------------------------------------------------

# lock PATH / unlock: one holder at a time, on file descriptor 9. The end of the holder unlocks.
lock() {
  exec 9> "$1.lock"
  flock -n 9 || { say "waiting for another run that holds $1 ..."; flock 9; }
}
unlock() { exec 9>&-; }

# populate TARGET FUNCTION: unless TARGET exists, FUNCTION fills the directory TARGET.partial, which
# is then renamed to TARGET.
populate() {
  [ ! -d "$1" ] || return 0
  mkdir -p "$(dirname "$1")"
  lock "$1"
  if [ ! -d "$1" ]; then
    rm -rf "$1.partial"
    mkdir "$1.partial"
    "$2" "$1.partial"
    mv -T "$1.partial" "$1"
  fi
  unlock
}

# --- ports ---------------------------------------------------------------------------------------

# reserve_ports COUNT: prints COUNT free TCP ports and reserves them for $STATE until its directory
# is deleted. They are below the kernel's range for outgoing connections, so that no connection
# takes the port of a broker that is down for a moment.
reserve_ports() {
  local count=$1 dir=$cache/ports top=32767 used port tries=0
  mkdir -p "$dir"
  lock "$dir/all" 2> /dev/null
  [ ! -r /proc/sys/net/ipv4/ip_local_port_range ] || read -r top _ < /proc/sys/net/ipv4/ip_local_port_range
  [ "$top" -gt 21000 ] || top=32768
  used=" $(awk 'FNR > 1 {split($2, a, ":"); printf "%s ", a[2]}' /proc/net/tcp /proc/net/tcp6 2> /dev/null)"
  while [ "$count" -gt 0 ]; do
    tries=$((tries + 1)); [ $tries -lt 5000 ] || die "no free port below $top"
    port=$((20000 + (RANDOM * 32768 + RANDOM) % (top - 20000)))
    [[ $used != *" $(printf %04X "$port") "* ]] || continue
    if [ -e "$dir/$port" ]; then
      # A reservation lasts as long as its state directory.
      [ ! -e "$(< "$dir/$port")/type" ] || continue
    fi
    echo "$STATE" > "$dir/$port"
    echo "$port"
    count=$((count - 1))
  done
  unlock
}
release_ports() { # of $STATE
  { grep -slxF "$STATE" "$cache"/ports/[0-9]* || true; } | xargs -r rm -f
}

# --- processes -----------------------------------------------------------------------------------

# started_at PID: prints the start time of the process, in clock ticks; false if the process does
# not exist or is a zombie. A pid can be reused; pid and start time together cannot.
started_at() {
  local stat='' fields
  { IFS= read -rd '' stat < "/proc/$1/stat"; } 2> /dev/null || [ -n "$stat" ] || return 1 # not $(< ...), whose failure ends bash 5.2
  read -ra fields <<< "${stat##*) }"
  [[ ${fields[0]} != [ZX] ]] || return 1
  echo "${fields[19]}"
}
record() { echo "$2 $(started_at "$2")" > "$STATE/pid/$1"; } # record NAME PID
# pid_of NAME: the pid of a recorded process that is alive, else false.
pid_of() {
  local pid start
  read -r pid start 2> /dev/null < "$STATE/pid/$1" || return 1
  [ -n "$start" ] && [ "$(started_at "$pid")" = "$start" ] && echo "$pid"
}
# start NAME COMMAND...: runs it in the background, in its own session (Ctrl-C does not reach it),
# and records log and pid.
start() {
  local name=$1
  shift
  setsid "$@" > "$STATE/log/$name.log" 2>&1 < /dev/null 9>&- &
  record "$name" $!
  disown
}
# finish NAME [SIGNAL [SECONDS]]: ends it with SIGNAL, and with SIGKILL after SECONDS.
finish() {
  local pid tries=$(( ${3:-10} * 20 ))
  if pid=$(pid_of "$1"); then
    kill -"${2:-KILL}" "$pid" 2> /dev/null || true
    kill -CONT "$pid" 2> /dev/null || true
    while pid_of "$1" > /dev/null; do
      [ $((tries--)) -gt 0 ] || kill -KILL "$pid" 2> /dev/null || true
      sleep 0.05
    done
  fi
  rm -f "$STATE/pid/$1"
}
# until_true SECONDS WHAT COMMAND...: repeats COMMAND until it succeeds; false, with a message, when
# the time has passed.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then say "timed out waiting for: $what (logs: $STATE/log)"; return 1; fi
    sleep 0.1
  done
}

# --- the state directory -------------------------------------------------------------------------

# open_state DIRECTORY KIND: sets STATE to the directory of an earlier `up`, or fails.
open_state() {
  [ -n "${1:-}" ] || die "which state directory?" "see: $script --help"
  [ "$(cat "$1/type" 2> /dev/null)" = "$2" ] || die "$1 is not a state directory of $(basename "$script")" "make one with: $script up $1"
  STATE=$(cd "$1" && pwd)
}
# claim_state DIRECTORY KIND [OWNER_PID]: makes the private directory. From now on everything is
# undone if this script ends before `standing`, or when the owner ends, at any time.
claim_state() {
  local owner=${3:-} since
  [ -n "${1:-}" ] || die "which state directory?" "see: $script --help"
  [ -z "$(ls -A "$1" 2> /dev/null)" ] || die "$1 is not empty" "end what was there with: $script down $1"
  mkdir -p "$1"
  STATE=$(cd "$1" && pwd)
  chmod 700 "$STATE"
  mkdir -p "$STATE"/{log,pid}
  echo "$2" > "$STATE/type"
  record up $$
  trap fell EXIT
  if [ -n "$owner" ]; then
    since=$(started_at "$owner") || die "the owner, process $owner, does not exist"
    start watchdog bash "$env_dir/watchdog.sh" "$owner" "$since" "$script" "$STATE"
  fi
}
standing() { trap - EXIT; rm -f "$STATE/pid/up"; }
fell() {
  local rc=$?
  trap - EXIT
  rm -f "$STATE/pid/up"
  say "the start failed; ending what was started; the logs are in $STATE/log"
  FELL=$rc "$script" down "$STATE" --keep || true
  exit "$rc"
}
# Ends what could start more processes: an `up` that still runs, its step, and the watchdog, unless
# the caller is the watchdog.
end_starters() {
  local pid
  finish up
  if pid=$(pid_of step); then end_group "$pid"; fi
  [ "$(pid_of watchdog)" = $$ ] || finish watchdog
}
close_state() { # close_state [--keep]
  release_ports
  rm -rf "$STATE/pid"
  [ "${1:-}" = --keep ] || rm -rf "$STATE"
}
