# shellcheck shell=bash
# shellcheck disable=SC2154 # here, env_dir, bin: of the script that sources this
# Sourced by kube.sh after lib.sh: certificates, kubeconfigs and the control plane.
# Needs STATE, bin, here, and API_PORT (of the API server, on 127.0.0.1).

# shellcheck source=../certificates.sh
. "$env_dir/certificates.sh"

kubeconfig() { # kubeconfig NAME: from pki/NAME.{crt,key}; a private file
  (
    umask 077
    cat > "$STATE/$1.kubeconfig" << END
apiVersion: v1
kind: Config
current-context: local
clusters: [{name: local, cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority-data: $(base64 -w 0 < "$STATE/pki/ca.crt")}}]
contexts: [{name: local, context: {cluster: local, user: $1}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w 0 < "$STATE/pki/$1.crt"), client-key-data: $(base64 -w 0 < "$STATE/pki/$1.key")}}]
END
  )
}
identities() {
  local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local n
  mkdir -p "$STATE/pki"
  (
    umask 077
    cd "$STATE/pki" || exit
    authority ca
    authority front-proxy-ca
    certificate ca apiserver /CN=kube-apiserver "$names,IP:127.0.0.1,IP:10.96.0.1"
    certificate front-proxy-ca front-proxy-client /CN=front-proxy-client
    certificate ca admin /O=system:masters/CN=admin
    certificate ca kwok /O=system:masters/CN=system:kwok
    certificate ca controller-manager /CN=system:kube-controller-manager
    certificate ca scheduler /CN=system:kube-scheduler
    openssl ecparam -name prime256v1 -genkey -noout -out sa.key
    openssl ec -in sa.key -pubout -out sa.pub 2> /dev/null
  )
  for n in admin kwok controller-manager scheduler; do kubeconfig "$n"; done
}

control_plane() { # control_plane ETCD_PORT ETCD_PEER_PORT CONTROLLER_MANAGER_PORT SCHEDULER_PORT
  local p=$STATE/pki etcd=http://127.0.0.1:$1 peer=http://127.0.0.1:$2 manager_port=$3 scheduler_port=$4
  local m=$STATE/controller-manager.kubeconfig s=$STATE/scheduler.kubeconfig
  start etcd "$bin/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
  # A loopback address is not a valid endpoint of the Service `kubernetes`, so it gets none.
  start kube-apiserver "$bin/kube-apiserver" --etcd-servers "$etcd" \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$API_PORT" --endpoint-reconciler-type none \
    --tls-cert-file "$p/apiserver.crt" --tls-private-key-file "$p/apiserver.key" --client-ca-file "$p/ca.crt" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$p/sa.pub" --service-account-signing-key-file "$p/sa.key" \
    --service-cluster-ip-range 10.96.0.0/16 \
    --audit-policy-file "$here/audit-policy.yaml" --audit-log-path "$STATE/log/audit.log" \
    --requestheader-client-ca-file "$p/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group --requestheader-username-headers X-Remote-User \
    --proxy-client-cert-file "$p/front-proxy-client.crt" --proxy-client-key-file "$p/front-proxy-client.key"
  until_true 120 "the API server to be ready" "$bin/kubectl" --kubeconfig "$STATE/admin.kubeconfig" get --raw /readyz
  # The rates are for tests that create and delete hundreds of Pods and dozens of namespaces at
  # once.
  start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$m" --authentication-kubeconfig "$m" --authorization-kubeconfig "$m" \
    --bind-address 127.0.0.1 --secure-port "$manager_port" --leader-elect=false --use-service-account-credentials \
    --root-ca-file "$p/ca.crt" --service-account-private-key-file "$p/sa.key" \
    --cluster-signing-cert-file "$p/ca.crt" --cluster-signing-key-file "$p/ca.key" \
    --allocate-node-cidrs --cluster-cidr 10.244.0.0/16 --service-cluster-ip-range 10.96.0.0/16 \
    --kube-api-qps 200 --kube-api-burst 400 --flex-volume-plugin-dir "$STATE/flexvolume"
  start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$s" --authentication-kubeconfig "$s" --authorization-kubeconfig "$s" \
    --bind-address 127.0.0.1 --secure-port "$scheduler_port" --leader-elect=false --kube-api-qps 200 --kube-api-burst 400
}
