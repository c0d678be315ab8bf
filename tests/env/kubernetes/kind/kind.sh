# shellcheck shell=bash
# shellcheck disable=SC2154 # here, env_dir, cache, bin: of the script that sources this
# Sourced by kube.sh after lib.sh and engine.sh: one node made by kind, in a container of Docker or of podman.
# The same with both. Each cluster has an engine's network of its own, by which Pods reach this
# machine, and which ends with it.

# The image of kind 0.33.0 for Kubernetes 1.36: v1.36.4, by its digest.
published=docker.io/kindest/node@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed

# --- the node image ------------------------------------------------------------------------------

node_image_into() {
  local advice="name a node image that this machine has, or reaches, with LAGRANGE_KIND_IMAGE"
  [ "$(id -u)" = 0 ] || die "only root can build a node image" "$advice"
  [ ! -e /sys/fs/cgroup/cgroup.controllers ] || die "a node image that is built here is for cgroup v1" "$advice"
  need mmdebstrap:mmdebstrap zstd:zstd /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  step "$1.log" "Building a node image for kind; this takes one to two minutes" \
    "Is the Debian mirror reachable? LAGRANGE_DEBIAN_MIRROR names another one." \
    "$here/kind/node-image.sh" "$bin" "$own" "$1"
}
# What the node image is made from: the name of bin says what is in it.
sources() {
  basename "$bin"
  (cd "$here/kind" && find node node-image.sh -type f | LC_ALL=C sort | xargs tail -v -n +1)
}
# ensure_node_image: sets node_image to the first of: the image that LAGRANGE_KIND_IMAGE names, one
# that is here, the published one, one built here. Needs bin and engine.
ensure_node_image() {
  local archive
  node_image=${LAGRANGE_KIND_IMAGE:-}
  [ -z "$node_image" ] || return 0
  archive=$cache/kind-node-$(sources | sha256sum | cut -c 1-12)
  own=localhost/lagrange-node:${archive##*-}
  for node_image in "$published" "$own"; do
    if has_image "$node_image"; then return 0; fi
  done
  mkdir -p "$cache"
  if [ ! -d "$archive" ] && attempt "$cache/node-image-pull.log" "Pulling the node image of kind (about 400 MB)" \
    timeout 900 "$engine" pull --quiet "$published"; then
    node_image=$published
    return
  fi
  [ -d "$archive" ] || say "  no registry has answered"
  node_image=$own
  populate "$archive" node_image_into
  lock "$archive-load"
  if ! has_image "$own"; then
    need zstd:zstd
    # shellcheck disable=SC2016 # expanded by the inner shell
    step "$cache/node-image-load.log" "Loading the node image" "Are 2 GB of disk free?" \
      bash -o pipefail -c 'zstd -dc "$2" | TMPDIR=$3 "$1" load' _ "$engine" "$archive/node.tar.zst" "$cache"
  fi
  unlock
}

# --- a cluster -----------------------------------------------------------------------------------

kind() {
  local name
  name=$(< "$STATE/kind-name")
  env "KIND_EXPERIMENTAL_${engine^^}_NETWORK=$name" "$bin/kind" "$@" --name "$name"
}
# gateway: the first IPv4 gateway in what `network inspect` prints. Docker's and podman's JSON have it
# under other keys, so a template would not do for both. Reads all: see SIGPIPE in README.md.
gateway() { awk -F'"' 'tolower($2) == "gateway" && $4 ~ /^[0-9.]+$/ && !n++ {print $4}'; }
containers_of() { "$engine" ps --all --quiet --filter "label=io.x-k8s.kind.cluster=$1"; }
up_kind() {
  local name
  ensure_node_image
  name=lagrange-$(head -c 4 /dev/urandom | od -An -tx4 | tr -d ' ')
  echo "$engine" > "$STATE/kind-engine"
  echo "$name" > "$STATE/kind-name"
  mkdir -p "$STATE/kind"
  cp "$here/audit-policy.yaml" "$here/kind/corednsdeployment+strategic.yaml" "$STATE/kind"
  sed "s#STATE#$STATE#" "$here/kind/cluster.yaml" > "$STATE/kind/cluster.yaml"
  # --retain: a node that is not Ready stays until its logs are collected, by down.
  step "$STATE/log/kind.log" "Creating a kind cluster with $engine" "see $STATE/log/kind.log and $STATE/log/node" \
    env "KIND_EXPERIMENTAL_${engine^^}_NETWORK=$name" "$bin/kind" create cluster --name "$name" --image "$node_image" \
    --config "$STATE/kind/cluster.yaml" --kubeconfig "$STATE/admin.kubeconfig" --wait 180s --retain
  chmod 600 "$STATE/admin.kubeconfig"
  # This machine is the gateway of the network.
  "$engine" network inspect "$name" > "$STATE/network.json"
  gateway < "$STATE/network.json" > "$STATE/host-address"
  [ -s "$STATE/host-address" ] || die "no address of this machine in the network $name" "see $STATE/network.json"
  until_true 120 "the DNS of the cluster" kubectl rollout status deployment/coredns --namespace kube-system --timeout 1s ||
    die "the DNS of the cluster is not ready" "see $STATE/log/node"
}
# Collects the logs of the node in STATE/log/node.
logs_kind() {
  mkdir -p "$STATE/log/node"
  timeout 60 env "$bin/kind" export logs "$STATE/log/node" --name "$(< "$STATE/kind-name")" > "$STATE/log/node/export.log" 2>&1 || true
}
audit_of_kind() { # the file is root's
  use_engine "$(< "$STATE/kind-engine")"
  "$engine" exec "$(< "$STATE/kind-name")-control-plane" cat /lagrange/log/audit.log
}
# Deletes the cluster, or fails: then STATE keeps its name, and `down` can be tried again.
down_kind() { # down_kind [--keep]
  local name left tries
  [ -e "$STATE/kind-name" ] || return 0
  ensure_binary
  use_engine "$(< "$STATE/kind-engine")"
  name=$(< "$STATE/kind-name")
  # Not when somebody waits for the end of an `up` that was interrupted.
  case ${1:-}${FELL:-} in --keep | --keep1) logs_kind ;; esac
  for tries in 1 2 3; do
    [ "$tries" = 1 ] || sleep 1
    kind delete cluster --kubeconfig "$STATE/admin.kubeconfig" >> "$STATE/log/kind-delete.log" 2>&1 || true
    left=$(containers_of "$name" 2>> "$STATE/log/kind-delete.log") || left=unknown
    [ -n "$left" ] || break
  done
  if [ -n "$left" ]; then
    tail -n 5 "$STATE/log/kind-delete.log" >&2
    die "the kind cluster $name could not be deleted; its containers: $left" "try again: $script down $STATE"
  fi
  # A volume that podman has made for a node that was never begun.
  "$engine" volume ls --quiet --filter "label=$name-control-plane" | xargs -r "$engine" volume rm > /dev/null || true
  "$engine" network rm "$name" > /dev/null 2>> "$STATE/log/kind-delete.log" || true
  rm "$STATE/kind-name"
}
