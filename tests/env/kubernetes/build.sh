#!/usr/bin/env bash
# build.sh DIRECTORY: builds `kube` (etcd, the Kubernetes components, kubectl, kubeadm, kind, KWOK
# and Helm in one binary, chosen by the name it is called by), `coredns` and `pause` into DIRECTORY.
# Called by kube.sh, which keeps the result. Don't `go vet ./...` here: it compiles all anew.
set -euo pipefail
out=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/components"
export CGO_ENABLED=0
echo "downloading modules (0.8 GB when there are none yet)"
go mod download
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
helm=$(go list -m -f '{{.Version}}' helm.sh/helm/v4)
minor=${version#v1.}
stamp="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
stamp+=" -X k8s.io/client-go/pkg/version.gitVersion=$version -X helm.sh/helm/v4/internal/version.version=$helm"
echo "compiling Kubernetes $version and Helm $helm"
# Debugging information would be thrown away by -w: without it, and with a collector that runs less often, compiling takes a fifth less.
export GOGC=${GOGC:-400}
options=(-trimpath -gcflags=all=-dwarf=false)
go build "${options[@]}" -ldflags "-s -w $stamp" -o "$out/kube" .
# CoreDNS is a binary of its own: its flags are global, and would be flags of the others too.
dns=$(go list -m -f '{{.Version}}' github.com/coredns/coredns)
echo "compiling CoreDNS $dns"
go build "${options[@]}" -ldflags "-s -w" -o "$out/coredns" ./coredns
go build "${options[@]}" -ldflags "-s -w" -o "$out/pause" ./pause
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl kubeadm kind helm kwok; do
  ln -sf kube "$out/$name"
done
