#!/usr/bin/env bash
# The steps of the demo: steps.sh STEP. demo.sh runs them in order, shows their progress, and ends
# what they start.
#
#   tools prepare node kafka images install groups members      in this order
#   fetch kubernetes build                                      what prepare does, side by side
#   logs                                                        collects the logs of a failed demo
#
# Environment: work, the private directory of the demo; owner, the process with which everything
# ends.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
env=$root/tests/env
target=${CARGO_TARGET_DIR:-$root/target}/debug
: "${work:?}" "${owner:?}"

on_cluster() { "$env/kubernetes/kube.sh" "$1" "$work/cluster" "${@:2}"; }
kubectl() { on_cluster kubectl "$@"; }

# Reports everything that is missing at once, before the builds need it. As root on Debian it
# installs it.
tools() {
  # shellcheck disable=SC2034 # lib.sh puts it into messages
  script=${BASH_SOURCE[0]}
  # shellcheck source=../tests/env/lib.sh
  . "$env/lib.sh"
  command -v cargo > /dev/null || die "missing: Rust" "install it from https://rustup.rs"
  command -v go > /dev/null || die "missing: Go 1.21 or later" "install it from https://go.dev/dl"
  need java:openjdk-17-jre-headless mvn:maven c++:g++ cmake:cmake make:make openssl:openssl pkg-config:pkg-config \
    /usr/include/openssl/ssl.h:libssl-dev
  "$env/kubernetes/kube.sh" can-run
}

# Side by side, for downloads leave the processors idle. The first that fails ends the others:
# demo.sh gives each step a process group of its own.
prepare() {
  local name
  for name in fetch kubernetes build; do
    { "${BASH_SOURCE[0]}" "$name" 2>&1 || { echo "failed"; false; }; } | sed --unbuffered "s/^/$name: /" &
  done
  for name in 1 2 3; do
    wait -n || { trap '' TERM; kill -TERM 0; wait; return 1; }
  done
}

fetch() { exec "$env/kafka/kafka.sh" fetch; }

kubernetes() { exec "$env/kubernetes/kube.sh" fetch; }

# A debug build: half the work of a release build (measured: 7 CPU minutes instead of 14), shared
# with `make test`. The demo does not need speed.
build() { cd "$root" && exec cargo build --locked --workspace --bins; }

node() { exec "$env/kubernetes/kube.sh" up "$work/cluster" --mode real --owner "$owner"; }

kafka() {
  local address
  address=$(on_cluster host-address)
  "$env/kafka/kafka.sh" up "$work/kafka" --quick-failover --pod-address "$address" --owner "$owner"
  "$target/workload" topic create order-events --partitions 6 --bootstrap-servers "$("$env/kafka/kafka.sh" bootstrap "$work/kafka")"
}

images() {
  local program tag=demo
  for program in lagrange workload; do
    "$env/image.sh" "localhost/$program:$tag" "$work/$program.tar" "$target/$program"
    on_cluster load-image "$work/$program.tar"
    rm "$work/$program.tar"
  done
}

install() {
  on_cluster helm install lagrange "$root/charts/lagrange" --namespace lagrange --create-namespace --wait --timeout 120s \
    --set image.tag=demo
}

# The broker runs outside the node. This Service gives it the name that the examples use.
groups() {
  local address
  address=$("$env/kafka/kafka.sh" bootstrap "$work/kafka" pods)
  kubectl apply --filename "$root/examples/order-events/1-cluster.yaml"
  kubectl apply --filename - << END
apiVersion: v1
kind: Service
metadata: {name: kafka-bootstrap, namespace: kafka}
spec:
  ports: [{name: kafka, port: 9092, targetPort: ${address##*:}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kafka-bootstrap
  namespace: kafka
  labels: {kubernetes.io/service-name: kafka-bootstrap}
addressType: IPv4
ports: [{name: kafka, port: ${address##*:}}]
endpoints: [{addresses: ["${address%:*}"]}]
END
  kubectl apply --filename "$root/examples/order-events"
}

members() {
  kubectl rollout status deployment --namespace shop --timeout 90s
  kubectl wait consumergroup --all --namespace shop --for condition=LagKnown --timeout 60s
}

# Collects what explains a failed demo. Images and data are deleted.
logs() {
  mkdir -p "$work/log/kafka"
  on_cluster logs || true
  cp -r "$work/cluster/log" "$work/log/cluster" 2> /dev/null || true
  cp "$work"/kafka/node*/server.log "$work/log/kafka" 2> /dev/null || true
  [ -e "$work/cluster/admin.kubeconfig" ] || return 0
  kubectl logs --selector app.kubernetes.io/name=lagrange --prefix --tail -1 --namespace lagrange --request-timeout 5s > "$work/log/operator.log" 2>&1 || true
  kubectl get pods,events --all-namespaces --output wide --request-timeout 5s > "$work/log/pods-and-events.txt" 2>&1 || true
  kubectl get consumergroups,kafkaclusters --all-namespaces --output yaml --request-timeout 5s > "$work/log/groups.yaml" 2>&1 || true
}

case ${1:-} in
  tools | prepare | fetch | kubernetes | build | node | kafka | images | install | groups | members | logs) "$1" ;;
  *) awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
