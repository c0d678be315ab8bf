#!/usr/bin/env bash
# A real Kubernetes for tests, built from source from package registries. Changes no configuration
# outside of STATE and the cache.
#
#   kube.sh up STATE [OPTION...]     starts a cluster, waits until it serves, and prints the path of
#                                    its kubeconfig (a private file)
#     --mode control                   API server, etcd, controllers and scheduler on 127.0.0.1;
#                                      Pods stay Pending
#     --mode kwok                      the same with fake nodes: Pods are Running at once and Ready
#                                      after a delay
#     --mode real                      (default) a real node, made by kind: containerd, kubelet,
#                                      kube-proxy, CoreDNS (Docker, or podman, which root gets
#                                      installed on Debian). With LAGRANGE_CLUSTER=node: in Linux
#                                      namespaces instead, without a container engine (root)
#     --nodes N                        kwok: number of fake nodes (1)
#     --ready-delay MS                 kwok: time until a Pod is Ready (0); kwok-stages.yaml shows
#                                      how to set it per Pod
#     --gone-delay MS                  kwok: time until a deleted Pod is gone (0)
#     --owner PID                      ends everything when that process ends, however it ends
#   kube.sh down STATE [--keep]      ends the cluster and deletes STATE (--keep: not logs and data)
#   kube.sh kubeconfig STATE         prints the path of the kubeconfig
#   kube.sh host-address STATE       prints the address of this machine for Pods
#   kube.sh audit STATE              prints the audit log: every write, as JSON. (On a real node the
#                                    file may be root's.)
#   kube.sh logs STATE               collects the logs of the node, and prints the directory of all
#                                    logs
#   kube.sh load-image STATE TAR...  loads images made by image.sh
#   kube.sh kubectl STATE ARG...     runs kubectl on the cluster; `helm` instead runs Helm 4
#   kube.sh can-run                  succeeds if this machine can run mode real; otherwise prints on
#                                    standard error what is missing
#   kube.sh bin                      builds what is missing and prints the directory with kubectl
#                                    and helm
#   kube.sh fetch                    builds and fetches all that `up` needs, with the node image
#
# LAGRANGE_KIND_IMAGE names a node image (Kubernetes 1.36 or later). Without it: the published one,
# or, where no registry answers, one that is built here from Debian packages (root, cgroup v1).
#
# STATE is a directory that does not exist or is empty, not under /run. Logs: STATE/log;
# log/audit.log has every write. Several clusters can run side by side. Cache: LAGRANGE_CACHE, else
# ~/.cache/lagrange. Needs Go (1.21 or later; it fetches the version that it needs) and openssl; a
# node in namespaces also containerd, runc, CNI plugins and iptables. As root on Debian it installs
# the packages that are missing. The first build takes 6 to 9 minutes on two cores; the binary is
# then in the cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=$here/kube.sh
# shellcheck source=../lib.sh
. "$here/../lib.sh"

# --- the binary ----------------------------------------------------------------------------------

build_into() {
  command -v go > /dev/null || die "missing: Go" "install Go 1.21 or later from https://go.dev/dl (Debian 12's is too old), then run this again"
  step "$1.log" "Building Kubernetes; the first time this takes 6 to 9 minutes on two idle cores" \
    "Check that the Go module proxy is reachable (go env GOPROXY) and that 5 GB of disk are free (go env GOCACHE), and run it again: what is built is kept." \
    "$here/build.sh" "$1"
}
ensure_binary() { # sets and exports bin
  bin=$cache/kubernetes-$(cd "$here" && cat build.sh components/go.mod components/go.sum components/*.go components/*/*.go | sha256sum | cut -c 1-12)
  populate "$bin" build_into
  export bin
}
kubectl() { KUBECACHEDIR=$STATE/kube-cache "$bin/kubectl" --kubeconfig "$STATE/admin.kubeconfig" "$@"; }

# --- control and kwok ----------------------------------------------------------------------------

up_on_loopback() {
  local ports i
  need openssl:openssl
  mapfile -t ports < <(reserve_ports 6)
  [ ${#ports[@]} = 6 ] || die "no ports"
  ADDRESS=127.0.0.1 API_PORT=${ports[0]} PODS=10.244.0.0/16 SERVICES=10.96.0.0/16 SERVICE_IP=10.96.0.1
  # shellcheck source=control-plane.sh
  . "$here/control-plane.sh"
  identities node-1
  # A loopback address is not a valid endpoint of the Service `kubernetes`, so it gets none.
  control_plane "${ports[@]:1:4}" --endpoint-reconciler-type none
  [ "$mode" = kwok ] || return 0
  sed "s/: READY_DELAY_MS$/: $ready_delay/; s/: GONE_DELAY_MS$/: $gone_delay/" "$here/kwok-stages.yaml" > "$STATE/kwok.yaml"
  start kwok "$bin/kwok" --kubeconfig "$STATE/kwok.kubeconfig" --config "$STATE/kwok.yaml" --manage-all-nodes \
    --cidr 10.244.0.0/16 --node-ip 10.0.0.1 --node-lease-duration-seconds 40 --server-address "127.0.0.1:${ports[5]}"
  for ((i = 1; i <= nodes; i++)); do
    echo '---'
    echo "{apiVersion: v1, kind: Node, metadata: {name: kwok-$i, annotations: {kwok.x-k8s.io/node: fake}, labels: {kubernetes.io/hostname: kwok-$i, kubernetes.io/os: linux}}}"
  done | kubectl apply -f - > /dev/null
  kubectl wait --for=condition=Ready node --all --timeout=60s > /dev/null || die "fake nodes are not Ready" "see $STATE/log/kwok.log"
}

# --- a real node ---------------------------------------------------------------------------------

# Takes a network for the link between this machine and the node, 172.30.K.0/24, with 10.244.K.0/24
# for Pods and 10.96.K.0/24 for Services. Two scripts that start at the same time cannot both create
# the interface, so only one gets the network.
take_network() {
  local k used
  used=" $(ip -4 route show | awk '{print $1}' | tr '\n' ' ')"
  for ((k = 0; k < 100; k++)); do
    [[ $used != *" 172.30.$k."* && $used != *" 172.30.0.0/16 "* && $used != *" 10.244.$k."* && $used != *" 10.96.$k."* ]] || continue
    ip link add "lagrange$k" type veth peer name "lagrange${k}n" 2> /dev/null || continue
    echo "lagrange$k" > "$STATE/link"
    export HOST=172.30.$k.1 ADDRESS=172.30.$k.2 PODS=10.244.$k.0/24 SERVICES=10.96.$k.0/24 SERVICE_IP=10.96.$k.1
    return
  done
  die "no free network in 172.30.0.0/16" "see: ip route; ip link; end unused clusters with: $script down STATE"
}
child_of() { tr -d ' ' < "/proc/$1/task/$1/children"; }
up_real() {
  local link pid
  [[ $STATE != /run/* ]] || die "STATE must not be under /run: the node mounts its own /run"
  need containerd:containerd ctr:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins iptables:iptables ip:iproute2 openssl:openssl
  take_network
  link=$(< "$STATE/link")
  export STATE NODE=node-1 API_PORT=6443
  # shellcheck source=control-plane.sh
  . "$here/control-plane.sh"
  identities "$NODE"
  start node unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc bash "$here/node.sh"
  until_true 10 "namespaces" test -e "$STATE/namespaces-up" || die "the namespaces did not come up: $(tail -n 3 "$STATE/log/node.log")"
  pid=$(child_of "$(pid_of node)")
  record init "$pid"
  ip link set "${link}n" netns "$pid" name eth0
  ip addr add "$HOST/24" dev "$link"
  ip link set "$link" up
  # Routes from this machine to Services and Pods.
  ip route add "$SERVICES" via "$ADDRESS" dev "$link"
  ip route add "$PODS" via "$ADDRESS" dev "$link"
  echo "$HOST" > "$STATE/host-address"
  touch "$STATE/link-up"
  until_true 180 "the node to be Ready" kubectl wait --for=condition=Ready "node/$NODE" --timeout=1s ||
    die "the node is not Ready: $(tail -n 3 "$STATE/log/node.log")" "see node.log, containerd.log and kubelet.log in $STATE/log"
}
down_real() {
  local group hierarchy init tries=100
  init=$(pid_of init) || init=
  finish node # --kill-child: its child is PID 1 of the pid namespace, so everything in it ends
  if [ -n "$init" ]; then
    while pid_of init > /dev/null && [ $((tries--)) -gt 0 ]; do sleep 0.05; done
  fi
  [ ! -e "$STATE/link" ] || ip link del "$(< "$STATE/link")" 2> /dev/null || true
  [ -e "$STATE/cgroup" ] || return 0
  group=$(< "$STATE/cgroup")
  for hierarchy in /sys/fs/cgroup/*; do
    [ ! -d "$hierarchy$group" ] || find "$hierarchy$group" -depth -type d -exec rmdir {} + 2> /dev/null || true
  done
}

# --- which of the two ----------------------------------------------------------------------------

# shellcheck source=../engine.sh
. "$env_dir/engine.sh"
# shellcheck source=kind/kind.sh
. "$here/kind/kind.sh"

# Prints why this machine cannot run the node in namespaces; fails if it can.
lacks_node() {
  if [ "$(id -u)" != 0 ]; then
    echo "the node in namespaces needs root"
  elif [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo "the node in namespaces needs cgroup v1, and this machine has v2 only"
  else
    return 1
  fi
}
# Sets mode to real or kind, or reports what is missing.
choose_real() {
  local lacks
  case ${LAGRANGE_CLUSTER:-kind} in
    kind)
      if lacks=$(lacks_engine); then die "$lacks" "with neither, use --mode kwok"; fi
      mode=kind
      use_engine ;;
    node) if lacks=$(lacks_node); then die "$lacks" "set LAGRANGE_CLUSTER=kind"; fi ;;
    *) die "LAGRANGE_CLUSTER is kind or node, not $LAGRANGE_CLUSTER" ;;
  esac
}

# --- commands ------------------------------------------------------------------------------------

up() {
  local dir=${1:-} owner='' mode=real nodes=1 ready_delay=0 gone_delay=0
  [ $# = 0 ] || shift
  while [ $# -gt 0 ]; do
    case $1 in
      --mode) mode=$2 ;;
      --nodes) nodes=$2 ;;
      --ready-delay) ready_delay=$2 ;;
      --gone-delay) gone_delay=$2 ;;
      --owner) owner=$2 ;;
      *) die "unknown option of up: $1" "see: $script --help" ;;
    esac
    [ $# -ge 2 ] || die "$1 needs a value"
    shift 2
  done
  case $mode in
    control | kwok) ;;
    real) choose_real ;;
    *) die "unknown mode $mode" "see: $script --help" ;;
  esac
  [[ $nodes$ready_delay$gone_delay =~ ^[0-9]+$ ]] || die "--nodes, --ready-delay and --gone-delay take numbers"
  claim_state "$dir" kubernetes "$owner"
  ensure_binary
  case $mode in
    control | kwok) up_on_loopback ;;
    real) up_real ;;
    kind) up_kind ;;
  esac
  until_true 60 "the default ServiceAccount" kubectl get serviceaccount default
  standing
  echo "$STATE/admin.kubeconfig"
}
down() {
  local name
  end_starters
  down_kind "${1:-}"
  down_real
  # The data are deleted, so an orderly end is not needed.
  for name in kwok kube-scheduler kube-controller-manager kube-apiserver etcd; do finish "$name"; done
  close_state "${1:-}"
}
load_image() {
  local tar init
  [ $# -gt 0 ] || die "load-image needs the path of an image" "make one with: $here/../image.sh"
  [ ! -e "$STATE/kind-name" ] || { ensure_binary; use_engine "$(< "$STATE/kind-engine")"; }
  for tar in "$@"; do
    if [ -e "$STATE/kind-name" ]; then
      kind load image-archive "$tar" >&2
    else
      init=$(pid_of init) || die "this cluster has no node for images" "images need --mode real"
      nsenter -t "$init" -m -- ctr --address /run/containerd/containerd.sock -n k8s.io images import "$(readlink -f "$tar")" >&2
    fi
  done
}

command=${1:-}
[ $# = 0 ] || shift
case $command in
  up) up "$@" ;;
  down)
    [ -z "${1:-}" ] || [ -e "$1" ] || exit 0
    open_state "${1:-}" kubernetes
    down "${2:-}" ;;
  kubeconfig) open_state "${1:-}" kubernetes; echo "$STATE/admin.kubeconfig" ;;
  host-address)
    open_state "${1:-}" kubernetes
    [ -e "$STATE/host-address" ] || die "the Pods of this cluster do not run" "Pods run with --mode real"
    cat "$STATE/host-address" ;;
  load-image) open_state "${1:-}" kubernetes; shift; load_image "$@" ;;
  kubectl) open_state "${1:-}" kubernetes; shift; ensure_binary; kubectl "$@" ;;
  helm)
    open_state "${1:-}" kubernetes; shift; ensure_binary
    HELM_CACHE_HOME=$STATE/helm HELM_CONFIG_HOME=$STATE/helm HELM_DATA_HOME=$STATE/helm KUBECONFIG=$STATE/admin.kubeconfig exec "$bin/helm" "$@" ;;
  audit)
    open_state "${1:-}" kubernetes
    log=$STATE/log/audit.log
    if [ -r "$log" ] || [ ! -e "$STATE/kind-name" ]; then cat "$log"; else audit_of_kind; fi ;;
  logs)
    open_state "${1:-}" kubernetes
    if [ -e "$STATE/kind-name" ]; then ensure_binary; use_engine "$(< "$STATE/kind-engine")"; logs_kind; fi
    echo "$STATE/log" ;;
  can-run) choose_real ;;
  fetch)
    ensure_binary
    if [ "${LAGRANGE_CLUSTER:-kind}" = kind ] && ! lacks_engine > /dev/null; then use_engine; ensure_node_image; fi ;;
  bin) ensure_binary; echo "$bin" ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
