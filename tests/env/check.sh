#!/usr/bin/env bash
# Checks the environment itself: clusters and brokers run side by side, and nothing is left of them
# when their owner ends, however it ends. Takes two to three minutes when the cache is full. Where
# no real node can run, it is left out.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=$here/check.sh
# shellcheck source=lib.sh
. "$here/lib.sh"
case ${1:-} in -h | --help) usage; exit ;; esac
kafka=$here/kafka/kafka.sh kube=$here/kubernetes/kube.sh
work=$(mktemp -d)
ended() {
  local d
  for d in "$work"/kafka* "$work"/cluster* "$work"/broken*; do
    case $d in *\**) ;; *kafka*) "$kafka" down "$d" ;; *) "$kube" down "$d" ;; esac
  done
  rm -rf "$work"
}
trap ended EXIT
since=$EPOCHREALTIME
ok() {
  local now=$EPOCHREALTIME
  printf 'ok %6d ms  %s\n' $(((${now/./} - ${since/./}) / 1000)) "$*"
  since=$EPOCHREALTIME
}
fail() { die "FAILED: $*"; }
# Every process of a state directory has the path of the directory in its arguments.
no_process_of() { ! pgrep -f -- "$1/" > /dev/null; }
gone() { # gone STATE...
  local d
  for d in "$@"; do
    until_gone() { [ ! -e "$d" ] && no_process_of "$d" && ! grep -qsxF "$d" "$cache"/ports/[0-9]*; }
    until_true 15 "$d to be gone" until_gone || fail "left of $d: $(ls "$d" 2>&1) $(pgrep -fa -- "$d/" | cut -c 1-200)"
  done
}
interruptible() { exec python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' "$@"; }

need pgrep:procps
"$kafka" fetch
"$kube" fetch
ok "cache filled"

# The gateway of a network as Docker and as podman print it, and a network of many containers.
gateway() { # in its own process: kind.sh is made for kube.sh
  # shellcheck source=kubernetes/kind/kind.sh
  bash -euo pipefail -c '. "$1"; gateway' _ "$here/kubernetes/kind/kind.sh"
}
docker_says='{
 "Config": [
  {
   "Subnet": "fc00:f853::/64",
   "Gateway": "fc00:f853::1"
  },
  {
   "Subnet": "172.19.0.0/16",
   "Gateway": "172.19.0.1"
  }
 ]
}'
podman_says='{
 "subnets": [
  {
   "subnet": "10.89.0.0/24",
   "gateway": "10.89.0.1"
  },
  {
   "gateway": "10.90.0.1"
  }
 ]
}'
for n in 1 2 3 4 5; do
  [ "$(gateway <<< "$docker_says")" = 172.19.0.1 ] || fail "the gateway of a network of Docker"
  [ "$({ echo "$podman_says"; seq 100000; } | gateway)" = 10.89.0.1 ] || fail "the gateway of a network of podman"
done
ok "the address of this machine is found with Docker and with podman"

# Which node image is taken, with an engine that has only HAVE and whose registry answers or not.
cat > "$work/engine" << 'END'
#!/bin/sh
case $1 in
  image) [ "$3" = "$HAVE" ] ;;
  pull) [ "$ANSWERS" = yes ] ;;
  load) cat > /dev/null ;;
esac
END
chmod +x "$work/engine"
image_taken() { # image_taken HAVE ANSWERS
  # shellcheck disable=SC2016 # expanded by that shell
  HAVE=$1 ANSWERS=$2 LAGRANGE_CACHE=$(mktemp -d "$work/cache.XXX") bash -euo pipefail -c '
    script=$1/kubernetes/kube.sh
    . "$1/lib.sh"
    here=$1/kubernetes bin=$2 engine=$3
    . "$1/engine.sh"
    . "$here/kind/kind.sh"
    node_image_into() { echo | zstd --quiet -o "$1/node.tar.zst"; }
    ensure_node_image
    echo "$node_image"' _ "$here" "$("$kube" bin)" "$work/engine" 2> "$work/said"
}
published=$(sed -n 's/^published=//p' "$here/kubernetes/kind/kind.sh")
[ "$(LAGRANGE_KIND_IMAGE=example/node:1 image_taken none yes)" = example/node:1 ] || fail "the variable names the node image"
[ "$(LAGRANGE_KIND_IMAGE='' image_taken none yes)" = "$published" ] || fail "the published node image is pulled: $(< "$work/said")"
[ "$(LAGRANGE_KIND_IMAGE='' image_taken "$published" no)" = "$published" ] || fail "the published node image is here: $(< "$work/said")"
if command -v zstd > /dev/null; then # only root needs it, to build an image
  [[ $(LAGRANGE_KIND_IMAGE='' image_taken none no) == localhost/lagrange-node:* ]] || fail "a node image is built: $(< "$work/said")"
fi
ok "the node image is the one named, the published one, or one built here"

# All start at the same time, with one owner.
sleep 600 & owner=$!
real=
! "$kube" can-run 2> /dev/null || real=yes
"$kafka" up "$work/kafka1" --owner "$owner" > "$work/bootstrap1" & jobs=($!)
"$kafka" up "$work/kafka3" --nodes 3 --quick-failover --owner "$owner" > "$work/bootstrap3" & jobs+=($!)
"$kafka" up "$work/kafka-secure" --secure --owner "$owner" > /dev/null & jobs+=($!)
"$kube" up "$work/cluster-control" --mode control --owner "$owner" > /dev/null & jobs+=($!)
"$kube" up "$work/cluster-kwok" --mode kwok --nodes 2 --owner "$owner" > /dev/null & jobs+=($!)
if [ -n "$real" ]; then
  "$kube" up "$work/cluster-real1" --owner "$owner" > /dev/null & jobs+=($!)
  "$kube" up "$work/cluster-real2" --owner "$owner" > /dev/null & jobs+=($!)
fi
for job in "${jobs[@]}"; do wait "$job" || fail "a cluster did not start"; done
ok "${#jobs[@]} clusters, three of them Kafka, started at the same time, side by side"
[[ $(tr , '\n' < "$work/bootstrap3" | sort -u | wc -l) = 3 ]] || fail "three brokers have three addresses: $(cat "$work/bootstrap3")"
[ "$(stat -c %a "$work/cluster-control/admin.kubeconfig" "$work/cluster-control" | tr '\n' ' ')" = "600 700 " ] || fail "the kubeconfig is private"

deployment() { # deployment IMAGE
  cat << END
{apiVersion: apps/v1, kind: Deployment, metadata: {name: app}, spec: {replicas: 3, selector: {matchLabels: {app: app}}, template: {
  metadata: {labels: {app: app}, annotations: {lagrange.test/pod-ip: 127.0.0.1}},
  spec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: "$1", imagePullPolicy: IfNotPresent, securityContext: {runAsNonRoot: true, readOnlyRootFilesystem: true}}]}}}}
END
}
deployment localhost/none:1 | "$kube" kubectl "$work/cluster-kwok" apply -f - > /dev/null
"$kube" kubectl "$work/cluster-kwok" rollout status deployment/app --timeout=30s > /dev/null
[ "$("$kube" kubectl "$work/cluster-kwok" get pods -o 'jsonpath={.items[0].status.podIP}')" = 127.0.0.1 ] || fail "a fake Pod has the address that its annotation says"
"$kube" kubectl "$work/cluster-kwok" scale deployment app --replicas=5 > /dev/null
grep -q '"subresource":"scale"' "$work/cluster-kwok/log/audit.log" || fail "the audit log has the scale request"
ok "kwok: fake Pods are Ready; the audit log has the writes"

secure=$work/kafka-secure
logins_say() { # logins_say hidden|visible
  "$kafka" logins "$secure" > "$work/logins" || true
  [ "$(grep -c ": in, the group is $1\$" "$work/logins")" = 9 ] || fail "nine logins, the group $1: $(< "$work/logins")"
}
handshake() { # handshake LISTENER [ARGUMENT...]
  openssl s_client -connect "$("$kafka" bootstrap "$secure" "$1")" -verify_ip 127.0.0.1 -verify_return_error -CAfile "$secure/tls/ca.crt" "${@:2}" < /dev/null > /dev/null 2>&1
}
[ "$(stat -c %a "$secure" "$secure"/users/* "$secure/oauth/key.pem" | tr '\n' ' ')" = "700 600 600 600 " ] || fail "secrets are private"
handshake sasl-ssl || fail "a TLS handshake"
! handshake wrong-host || fail "a certificate of another host"
logins_say hidden
"$kafka" acl "$secure" add User:lagrange group 'lag*' Describe
"$kafka" password "$secure" lagrange "$(< "$secure/users/lagrange")"
logins_say visible
"$kafka" renew-ca "$secure"
! handshake sasl-ssl || fail "the brokers no longer use the old CA"
handshake sasl-ssl -CAfile "$secure/tls/ca2.crt" || fail "the brokers use the new CA"
ok "logins at three listeners by four mechanisms and a certificate; changes of an ACL, a password and the CA"

"$kafka" pause "$work/kafka3" 2
"$kafka" cont "$work/kafka3" 2
"$kafka" kill "$work/kafka3" 2
[[ $("$kafka" status "$work/kafka3") == *"broker 2: down"* ]] || fail "a killed broker is down"
"$kafka" start "$work/kafka3" 2
"$kafka" stop "$work/kafka3" 3
"$kafka" start "$work/kafka3" 3
[[ $("$kafka" status "$work/kafka3") != *down* ]] || fail "brokers are up again"
ok "brokers paused, killed, stopped and started again"

if [ -n "$real" ]; then
  # The pause program is a small static program that waits for a signal.
  "$here/image.sh" localhost/app:1 "$work/app.tar" "$("$kube" bin)/pause"
  for d in "$work"/cluster-real*; do
    "$kube" load-image "$d" "$work/app.tar" 2> /dev/null
    deployment localhost/app:1 | "$kube" kubectl "$d" apply -f - > /dev/null
    "$kube" kubectl "$d" rollout status deployment/app --timeout=60s > /dev/null
  done
  [ "$("$kube" host-address "$work/cluster-real1")" != "$("$kube" host-address "$work/cluster-real2")" ] || fail "two nodes have two networks"
  "$kafka" up "$work/kafka-pods" --pod-address "$("$kube" host-address "$work/cluster-real1")" --owner "$owner" > /dev/null
  [[ $("$kafka" bootstrap "$work/kafka-pods" pods) == "$("$kube" host-address "$work/cluster-real1"):"* ]] || fail "a listener for Pods"
  [[ $("$kube" audit "$work/cluster-real1") == *'"resource":"deployments"'* ]] || fail "the audit log has the Deployment"
  ok "two real nodes run Pods of a local image; Kafka has a listener for them"
fi

if [ -n "$real" ]; then
  [ -s "$("$kube" logs "$work/cluster-real1")/node/$(< "$work/cluster-real1/kind-name")-control-plane/kubelet.log" ] || fail "the logs of a node"
  # shellcheck source=engine.sh
  . "$here/engine.sh"
  # shellcheck source=kubernetes/kind/kind.sh
  . "$here/kubernetes/kind/kind.sh"
  use_engine "$(< "$work/cluster-real1/kind-engine")"
  [[ $(STATE=$work/cluster-real1 audit_of_kind) == *'"resource":"deployments"'* ]] || fail "the audit log, for another user than root"
  # By these a cluster is known on this machine: its name, its containers and its network.
  marks_of() {
    local name
    name=$(< "$1/kind-name")
    echo "$name"
    containers_of "$name"
    "$engine" network inspect "$name" | awk -F'"' 'tolower($2) == "subnet" && !/:.*:.*:/ {print $4}'
  }
  nothing_of() { # nothing_of FILE_OF_MARKS
    {
      "$engine" ps --all
      "$engine" volume ls
      "$engine" volume ls --quiet | xargs -r "$engine" volume inspect
      "$engine" network ls
      cat /proc/mounts
      find /sys/fs/cgroup -type d 2> /dev/null
      [ "$(id -u)" != 0 ] || iptables-save
      ip route
    } > "$work/traces"
    ! grep -F -f "$1" "$work/traces" >&2 || fail "left of a cluster"
  }
  for d in "$work"/cluster-real*; do marks_of "$d"; done > "$work/marks"
fi
kill -KILL "$owner"
wait "$owner" 2> /dev/null || true
gone "$work"/kafka* "$work"/cluster*
ok "after the owner was killed, everything ended and nothing is left"

if [ -n "$real" ]; then
  nothing_of "$work/marks"
  ok "the containers, volumes, networks, mounts, control groups and rules of the two nodes are gone"

  cluster=$work/cluster-broken
  begun() { [ -n "$(containers_of "$(cat "$cluster/kind-name")")" ]; } # the node's container is there
  begin() { # begin OPTION...
    rm -rf "$cluster"
    "$kube" up "$cluster" "$@" > "$work/said" 2>&1 & job=$!
    until_true 60 "the container of a node" begun || fail "a node starts: $(< "$work/said")"
    marks_of "$cluster" > "$work/marks"
  }
  begin
  at=$SECONDS
  kill -TERM "$job"
  ! wait "$job" || fail "an interrupted start has failed"
  [ $((SECONDS - at)) -le 15 ] || fail "an interrupted start ended after $((SECONDS - at)) s"
  nothing_of "$work/marks"
  sleep 600 & owner=$!
  begin --owner "$owner"
  kill -KILL "$owner"
  wait "$owner" "$job" 2> /dev/null || true
  gone "$cluster"
  nothing_of "$work/marks"
  ok "a start of kind that is interrupted, or whose owner is killed, leaves nothing"

  begin
  node=$(< "$cluster/kind-name")-control-plane
  until_true 20 "a node without kubeadm" "$engine" exec "$node" rm /usr/bin/kubeadm || fail "$(< "$work/said")"
  ! wait "$job" || fail "a node without kubeadm does not start"
  grep -q kubeadm "$cluster/log/kind.log" || fail "kind says what failed: $(< "$work/said")"
  [ -s "$cluster/log/node/$node/journal.log" ] || fail "the logs of a node that failed: $(ls -R "$cluster/log")"
  nothing_of "$work/marks"
  ok "a start of kind that fails leaves the logs of its node, and nothing else"

  rm -rf "$cluster"
  "$kube" up "$cluster" > /dev/null
  mkdir "$work/stubborn"
  # shellcheck disable=SC2016 # expanded by that script
  printf '#!/bin/sh\n[ "$1" != rm ] || exit 1\nexec %s "$@"\n' "$(command -v "$engine")" > "$work/stubborn/$engine"
  chmod +x "$work/stubborn/$engine"
  ! PATH=$work/stubborn:$PATH "$kube" down "$cluster" 2> "$work/said" || fail "down reports a cluster that it cannot delete"
  grep -qF "$(< "$cluster/kind-name")" "$work/said" || fail "down names the cluster: $(< "$work/said")"
  begun || fail "the cluster that could not be deleted"
  marks_of "$cluster" > "$work/marks"
  "$kube" down "$cluster"
  nothing_of "$work/marks"
  ok "a cluster that could not be deleted keeps its name, and is deleted by the next down"
fi

sleep 600 & owner=$!
sleep 600 & tethered=$!
"$here/tether.sh" "$tethered" "$owner" & tether=$!
started_at "$tethered" > /dev/null || fail "a tethered process lives as long as its owner"
kill -KILL "$owner"
wait "$tether" "$tethered" 2> /dev/null || true
! started_at "$tethered" > /dev/null || fail "a tethered process ends with its owner"
ok "a tethered process ended with its owner"

if command -v python3 > /dev/null; then # background jobs of bash ignore SIGINT; python3 resets it
  for n in 1 2 3; do
    interruptible "$kube" up "$work/broken-$n" --mode control > /dev/null 2>&1 & job=$!
    sleep "$n"
    kill -INT "$job"
    ! wait "$job" || fail "an interrupted start has failed"
    no_process_of "$work/broken-$n" || fail "an interrupted start has left processes: $(pgrep -fa -- "$work/broken-$n/")"
    "$kube" down "$work/broken-$n"
  done
  ok "starts interrupted after 1, 2 and 3 seconds left nothing"
fi
