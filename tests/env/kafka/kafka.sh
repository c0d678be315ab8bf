#!/usr/bin/env bash
# Real Apache Kafka brokers (KRaft) for tests: from jars, without a distribution, an image or root.
#
#   kafka.sh up STATE [OPTION...]    starts brokers, waits until they serve, and prints the
#                                    bootstrap servers
#     --nodes N                        1 (default) or 3
#     --version V                      4.4.0 (default); 4.0.1, 3.9.2, 3.7.2 and 3.3.2 start too
#     --pod-address IP                 a second listener for Pods, at this address of this machine
#                                      (`kubernetes/kube.sh host-address STATE` prints it; the
#                                      cluster must be up)
#     --secure                         an authorizer, and listeners with TLS and SASL; see below
#     --oauth msk|ending               with --secure. msk: OAUTHBEARER accepts the presigned URLs of
#                                      Amazon MSK instead of JWTs. ending: a connection loses all
#                                      rights when its first JWT expires
#     --behind ADDRESS,...             with --secure: sasl-ssl advertises these addresses, one for
#                                      each node, where a proxy passes connections on to what
#                                      `bootstrap STATE sasl-ssl` prints
#     --kerberos                       with --secure: also a KDC (Debian's krb5-kdc), and GSSAPI
#     --quick-failover                 a dead broker is noticed after 3 s instead of 9; the first
#                                      rebalance of a group does not wait 3 s for more members;
#                                      KIP-848 members send a heartbeat every 0.5 s instead of 5 s
#     --property K=V                   one more broker property; can be repeated
#     --owner PID                      ends everything when that process ends, however it ends
#   kafka.sh down STATE [--keep]     ends the brokers and deletes STATE (--keep: not data and logs)
#   kafka.sh bootstrap STATE [LISTENER]
#                                    prints the bootstrap servers; LISTENER is pods, sasl-plaintext,
#                                    sasl-ssl, ssl or wrong-host
#   kafka.sh stop STATE N            node N: SIGTERM, and waits for its end (leaders move first)
#   kafka.sh kill STATE N            node N: SIGKILL
#   kafka.sh start STATE N           node N: starts again, with its old data and ports
#   kafka.sh pause STATE N           node N: SIGSTOP; it accepts connections and never responds
#   kafka.sh cont STATE N            node N: SIGCONT
#   kafka.sh status STATE            pid and memory of each node
#   kafka.sh fetch [--version V]     only fills the cache
#
# With --secure also:
#   kafka.sh acl STATE add|remove PRINCIPAL topic|group NAME OPERATION
#                                    allows the operation, or revokes that; NAME may be PREFIX* or *
#   kafka.sh password STATE USER PASSWORD
#                                    sets a SCRAM password, for both mechanisms; creates the user if
#                                    needed
#   kafka.sh token STATE [USER [SECONDS]]
#                                    prints a token that OAUTHBEARER accepts for SECONDS (3600);
#                                    below 0 the token is expired
#   kafka.sh delete-group STATE GROUP
#                                    deletes the group, which must have no members, and its commits
#   kafka.sh renew-ca STATE [ca|ca2] the brokers use a certificate of ca2 (or of ca again) at
#                                    sasl-ssl and ssl; all brokers must be up
#   kafka.sh logins STATE [GROUP]    logs in as lagrange at each listener with each mechanism, with
#                                    Kafka's own client, and reports whether lagrange may describe
#                                    the group
#
# --secure: on the plaintext listener every client is a super user. The other listeners, at
# 127.0.0.1 (or at the --pod-address), use ACLs, and at first there are none: sasl-plaintext;
# sasl-ssl; ssl, which requires a client certificate; wrong-host, which is sasl-ssl with the
# certificate of another host. The SASL mechanisms are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 (both
# since Kafka 3.5) and OAUTHBEARER.
#   STATE/users/NAME      passwords of lagrange and other, for PLAIN and, until `password`, SCRAM
#   STATE/tls/            PEM: ca.crt, which signed the certificates of the brokers and which they
#                         trust; ca2.crt; user.crt and user.key (for User:lagrange); expired.crt and
#                         .key; foreign.crt and .key (of an unknown CA); unfitting.key (matches no
#                         certificate)
#   STATE/kerberos/       krb5.conf; kafka.keytab, of the brokers; lagrange.keytab and other.keytab,
#                         whose tickets are valid for 20 s
#   STATE/log/tickets.log the tickets that the KDC has issued
#   STATE/oauth/key.pem   signs JWTs (RS256, kid test) of the issuer https://issuer.test for the
#                         audience kafka
#
# STATE is a directory that does not exist or is empty. Logs: STATE/node1/server.log. Defaults from
# the environment: KAFKA_NODES, KAFKA_VERSION, KAFKA_POD_ADDRESS, KAFKA_HEAP (256m). Cache:
# LAGRANGE_CACHE, else ~/.cache/lagrange. Needs Java 17 or later and Maven; --secure also openssl
# and a Java compiler (as root on Debian it installs them).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=$here/kafka.sh
# shellcheck source=../lib.sh
. "$here/../lib.sh"
# shellcheck source=secure.sh
. "$here/secure.sh"
version=${KAFKA_VERSION:-4.4.0} secure='' oauth=jwt kerberos='' secure_ports=()

# --- jars ----------------------------------------------------------------------------------------

library() { # sets lib and archive, the paths of the jars of $version and of their class archive
  need java:openjdk-17-jre-headless mvn:maven
  local jvm
  lib=$cache/kafka-$version-$(sha256sum "$here/pom.xml" | cut -c 1-8)
  jvm=$(readlink -f "$(command -v java)")
  archive=$lib/classes-$(stat -Lc %n%Y%s "$jvm" "${jvm%/bin/java}"/lib/{modules,server/libjvm.so} 2> /dev/null | sha256sum | cut -c 1-8).jsa
}
fetch_jars() {
  local profile=log4j2
  [[ $version != 3.* ]] || profile=reload4j
  step "$1.log" "Fetching Kafka $version from Maven Central (45 jars, 43 MB)" "Check that Maven Central is reachable and run it again; finished downloads are kept." \
    mvn -B -Dstyle.color=never -f "$here/pom.xml" -P "$profile" -Dkafka.version="$version" dependency:copy-dependencies -DoutputDirectory="$1"
}
# A class data archive saves a third of each start. A JVM that cannot use it starts without it.
archive_classes() {
  [ ! -e "$archive" ] || return 0
  lock "$archive"
  if [ ! -e "$archive" ]; then
    say "Making a class archive, once ..."
    local dir
    dir=$(mktemp -d)
    if ! ARCHIVE_TO="$archive.partial" "$script" up "$dir" --nodes 1 --version "$version" --pod-address '' --owner $$ > /dev/null ||
      ! "$script" stop "$dir" 1 || ! mv "$archive.partial" "$archive"; then
      say "  no class archive; brokers start without it"
      : > "$archive"
    fi
    if [ -e "$dir/type" ]; then "$script" down "$dir"; fi
    rm -rf "$dir" "$archive.partial"
  fi
  unlock
}
fetch() {
  library
  populate "$lib" fetch_jars
  [ -n "${ARCHIVE_TO:-}" ] || archive_classes
  jvm=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto)
  [ ! -s "$archive" ] || jvm+=("-XX:SharedArchiveFile=$archive")
  classpath=$(printf '%s:' "$lib"/*.jar) # in a fixed order, which is part of the archive
  tools=
  [ "$oauth" = jwt ] || tools
}

# --- nodes ---------------------------------------------------------------------------------------

logging() { # logging FILE: flags for log4j 2 and for reload4j
  printf '%s\n' "-Dkafka.logfile=$1" "-Dlog4j2.configurationFile=$here/log4j2.properties" "-Dlog4j.configuration=file:$here/log4j.properties"
}
properties() { # properties NODE; wants nodes, ports, pod_address
  local i voters='' copies=$nodes client=127.0.0.1:${ports[$1 * 3 - 3]} controller listeners advertised
  for ((i = 1; i <= nodes; i++)); do voters+=${voters:+,}$i@127.0.0.1:${ports[i * 3 - 2]}; done
  controller=127.0.0.1:${ports[$1 * 3 - 2]}
  listeners=PLAINTEXT://$client
  [ -z "$pod_address" ] || listeners+=,PODS://$pod_address:${ports[$1 * 3 - 1]}
  advertised=$listeners
  if [ -n "$secure" ]; then
    listeners+=$(secure_listeners "$1")
    advertised+=$(secure_advertised "$1")
  fi
  [ "$copies" -le 3 ] || copies=3
  cat << END
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=$listeners,CONTROLLER://$controller
advertised.listeners=$advertised
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PODS:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,WRONG_HOST:SASL_SSL
log.dirs=$STATE/node$1/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=$copies
min.insync.replicas=1
offsets.topic.num.partitions=6
offsets.topic.replication.factor=$copies
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=3
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=1
# Without this, leaders and coordinators would return to a restarted broker only after 5 minutes.
auto.leader.rebalance.enable=true
leader.imbalance.check.interval.seconds=2
leader.imbalance.per.broker.percentage=0
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
background.threads=2
END
  [ -z "$secure" ] || secure_properties
  printf '%s\n' ${more[@]+"${more[@]}"}
}
format_node() { # format_node NODE CLUSTER_ID
  local d=$STATE/node$1 flags users=()
  mapfile -t flags < <(logging "$d/format.log")
  [ -z "$secure" ] || mapfile -t users < <(scram_users)
  "${jvm[@]}" -Xmx64m "${flags[@]}" -cp "$classpath$tools" kafka.tools.StorageTool format -t "$2" -c "$d/server.properties" ${users[@]+"${users[@]}"} > "$d/format.out" 2>&1
}
start_node() { # start_node NODE: call fetch first
  local d=$STATE/node$1 flags
  # The log of an earlier start already contains "started".
  [ ! -e "$d/server.log" ] || mv "$d/server.log" "$d/server.log.$(date +%s%N)"
  mapfile -t flags < <(logging "$d/server.log")
  [ -z "$secure" ] || mapfile -t -O ${#flags[@]} flags < <(secure_flags)
  [ -z "${ARCHIVE_TO:-}" ] || flags+=("-XX:ArchiveClassesAtExit=$ARCHIVE_TO")
  start "node$1" "${jvm[@]}" -Xmx"${KAFKA_HEAP:-256m}" "${flags[@]}" -cp "$classpath$tools" kafka.Kafka "$d/server.properties"
}
await_node() { # await_node NODE
  local d=$STATE/node$1 deadline=$((SECONDS + 120))
  until grep -qs 'Kafka Server started' "$d/server.log"; do
    pid_of "node$1" > /dev/null || { tail -n 20 "$STATE/log/node$1.log" "$d/server.log" >&2 || true; die "broker $1 has ended"; }
    [ "$SECONDS" -lt "$deadline" ] || die "broker $1 does not serve after 120 s; see $d/server.log" "Check load and memory of the machine (about 250 MB per broker)"
    sleep 0.05
  done
}
servers() { # servers pods|LISTENER|''
  local i list=''
  for ((i = 1; i <= nodes; i++)); do
    case $1 in
      '') list+=${list:+,}127.0.0.1:${ports[i * 3 - 3]} ;;
      pods) list+=${list:+,}$pod_address:${ports[i * 3 - 1]} ;;
      *) list+=${list:+,}$(secure_address "$1" "$i") ;;
    esac
  done
  echo "$list"
}

# --- commands ------------------------------------------------------------------------------------

up() {
  local dir=${1:-} owner='' i pids=()
  [ $# = 0 ] || shift
  nodes=${KAFKA_NODES:-1} pod_address=${KAFKA_POD_ADDRESS:-} more=() behind=()
  while [ $# -gt 0 ]; do
    case $1 in
      --nodes) nodes=$2; shift 2 ;;
      --version) version=$2; shift 2 ;;
      --pod-address) pod_address=$2; shift 2 ;;
      --secure) secure=yes; shift ;;
      --oauth) oauth=$2; shift 2 ;;
      --behind) IFS=, read -ra behind <<< "$2"; shift 2 ;;
      --kerberos) kerberos=yes; shift ;;
      --property) more+=("$2"); shift 2 ;;
      --owner) owner=$2; shift 2 ;;
      --quick-failover)
        more+=(broker.session.timeout.ms=3000 broker.heartbeat.interval.ms=500 group.initial.rebalance.delay.ms=0
          group.consumer.min.heartbeat.interval.ms=500 group.consumer.heartbeat.interval.ms=500)
        shift ;;
      *) die "unknown option of up: $1" "see: $script --help" ;;
    esac
  done
  [[ $nodes =~ ^[1-9]$ ]] || die "--nodes takes a number from 1 to 9, not $nodes"
  [[ $oauth = @(jwt|msk|ending) ]] || die "--oauth takes jwt, msk or ending, not $oauth"
  [ "$oauth" = jwt ] || [ -n "$secure" ] || die "--oauth needs --secure"
  [[ ${#behind[@]} = 0 || (-n $secure && ${#behind[@]} = "$nodes") ]] || die "--behind needs --secure, and one address for each node"
  [ -z "$kerberos" ] || [ -n "$secure" ] || die "--kerberos needs --secure"
  claim_state "$dir" kafka "$owner"
  fetch
  mapfile -t ports < <(reserve_ports $((3 * nodes)))
  [ ${#ports[@]} = $((3 * nodes)) ] || die "no ports"
  [ -z "$secure" ] || secure_up
  declare -p nodes version ports pod_address secure oauth kerberos secure_ports | sed 's/^declare -[^ ]* //' > "$STATE/settings"
  local id identities=
  [ -z "$secure" ] || { identities & identities=$!; }
  id=$(head -c 16 /dev/urandom | base64 | tr '+/-' 'abc' | cut -c 1-22)
  for ((i = 1; i <= nodes; i++)); do
    mkdir "$STATE/node$i"
    properties "$i" > "$STATE/node$i/server.properties"
    format_node "$i" "$id" & pids+=($!)
  done
  for i in "${!pids[@]}"; do
    wait "${pids[i]}" || { cat "$STATE/node$((i + 1))/format.out" >&2; die "broker $((i + 1)) could not format its data directory"; }
  done
  [ -z "$identities" ] || wait "$identities" || { tail -n 20 "$STATE/log/openssl.log" >&2; die "the brokers have no certificates"; }
  for ((i = 1; i <= nodes; i++)); do start_node "$i"; done
  for ((i = 1; i <= nodes; i++)); do await_node "$i"; done
  standing
  servers ''
}
opened() {
  open_state "${1:-}" kafka
  # shellcheck source=/dev/null
  [ ! -e "$STATE/settings" ] || . "$STATE/settings"
}
node() { # node NUMBER: fails if there is no such broker
  [[ ${1:-} =~ ^[1-9]$ && -d $STATE/node$1 ]] || die "no broker '${1:-}' in $STATE"
}
down() {
  local f
  end_starters
  # The data are deleted, so an orderly end is not needed.
  for f in "$STATE"/pid/node*; do if [ -e "$f" ]; then finish "$(basename "$f")"; fi; done
  rm -f "$STATE"/pid/node*
  finish kdc
  close_state "${1:-}"
}

command=${1:-}
[ $# = 0 ] || shift
case $command in
  up) up "$@" ;;
  down)
    [ -z "${1:-}" ] || [ -e "$1" ] || exit 0
    opened "${1:-}"; down "${2:-}" ;;
  bootstrap)
    opened "${1:-}"
    case ${2:-} in
      '') ;;
      pods) [ -n "$pod_address" ] || die "these brokers have no listener for Pods" "start them with --pod-address" ;;
      *) secured ;;
    esac
    servers "${2:-}" ;;
  stop) opened "${1:-}"; node "${2:-}"; finish "node$2" TERM 60 ;;
  kill) opened "${1:-}"; node "${2:-}"; finish "node$2" ;;
  start)
    opened "${1:-}"; node "${2:-}"
    ! pid_of "node$2" > /dev/null || die "broker $2 is already running"
    fetch; start_node "$2"; await_node "$2" ;;
  pause | cont)
    opened "${1:-}"; node "${2:-}"
    pid=$(pid_of "node$2") || die "broker $2 is not running"
    if [ "$command" = pause ]; then kill -STOP "$pid"; else kill -CONT "$pid"; fi ;;
  status)
    opened "${1:-}"
    for ((i = 1; i <= nodes; i++)); do
      if pid=$(pid_of "node$i"); then
        echo "broker $i: pid $pid, $(awk '/^VmRSS/ {printf "%d MB", $2 / 1024}' "/proc/$pid/status"), $(awk '/^State/ {print $3}' "/proc/$pid/status")"
      else echo "broker $i: down"; fi
    done ;;
  password) opened "${1:-}"; secured; tool password "${2:?which user?}" "${3:?which password?}" ;;
  delete-group) opened "${1:-}"; secured; tool delete-group "${2:?which group?}" ;;
  acl)
    opened "${1:-}"; secured
    [ $# = 6 ] || die "an ACL is: add|remove PRINCIPAL topic|group NAME OPERATION" "see: $script --help"
    tool acl "${@:2}" ;;
  token) opened "${1:-}"; secured; token "${2:-lagrange}" "${3:-3600}" ;;
  logins) opened "${1:-}"; secured; logins "${2:-lagrange}" ;;
  renew-ca) opened "${1:-}"; secured; renew_ca "${2:-ca2}" ;;
  fetch) [ "${1:-}" != --version ] || version=$2; fetch ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
