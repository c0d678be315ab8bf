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
#                                      installed on Debian)
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
#   kube.sh kill-api STATE           kills the API server of mode control or kwok with SIGKILL
#   kube.sh restart-api STATE        starts it again, as it was started, and waits until it serves
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
# STATE is a directory that does not exist or is empty. Logs: STATE/log; log/audit.log has every
# write. Several clusters can run side by side. Cache: LAGRANGE_CACHE, else ~/.cache/lagrange. Needs
# Go (1.21 or later; it fetches the version that it needs) and openssl. As root on Debian it
# installs the packages that are missing. The first build takes 6 to 9 minutes on two cores; the
# binary is then in the cache.
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
  API_PORT=${ports[0]}
  # shellcheck source=control-plane.sh
  . "$here/control-plane.sh"
  identities
  control_plane "${ports[@]:1:4}"
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

# shellcheck source=../engine.sh
. "$env_dir/engine.sh"
# shellcheck source=kind/kind.sh
. "$here/kind/kind.sh"

choose_engine() { # sets engine, or reports what is missing
  local lacks
  if lacks=$(lacks_engine); then die "$lacks" "with neither, use --mode kwok"; fi
  use_engine
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
    real) choose_engine ;;
    *) die "unknown mode $mode" "see: $script --help" ;;
  esac
  [[ $nodes$ready_delay$gone_delay =~ ^[0-9]+$ ]] || die "--nodes, --ready-delay and --gone-delay take numbers"
  claim_state "$dir" kubernetes "$owner"
  ensure_binary
  case $mode in
    control | kwok) up_on_loopback ;;
    real) up_kind ;;
  esac
  until_true 60 "the default ServiceAccount" kubectl get serviceaccount default
  standing
  echo "$STATE/admin.kubeconfig"
}
down() {
  local name
  end_starters
  down_kind "${1:-}"
  # The data are deleted, so an orderly end is not needed.
  for name in kwok kube-scheduler kube-controller-manager kube-apiserver etcd; do finish "$name"; done
  close_state "${1:-}"
}
load_image() {
  local tar
  [ $# -gt 0 ] || die "load-image needs the path of an image" "make one with: $here/../image.sh"
  [ -e "$STATE/kind-name" ] || die "this cluster has no node for images" "images need --mode real"
  ensure_binary
  use_engine "$(< "$STATE/kind-engine")"
  for tar in "$@"; do kind load image-archive "$tar" >&2; done
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
  kill-api)
    open_state "${1:-}" kubernetes
    pid=$(pid_of kube-apiserver) || die "there is no API server to kill" "restart-api starts it again; on a real node it is not this script's"
    cp "/proc/$pid/cmdline" "$STATE/kube-apiserver.command"
    finish kube-apiserver ;;
  restart-api)
    open_state "${1:-}" kubernetes
    ensure_binary
    [ -e "$STATE/kube-apiserver.command" ] || die "the API server was not killed" "kill-api does"
    mapfile -d '' -t arguments < "$STATE/kube-apiserver.command"
    start kube-apiserver "${arguments[@]}"
    until_true 120 "the API server to be ready" kubectl get --raw /readyz > /dev/null ;;
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
  can-run) choose_engine ;;
  fetch)
    ensure_binary
    if ! lacks_engine > /dev/null; then use_engine; ensure_node_image; fi ;;
  bin) ensure_binary; echo "$bin" ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
