# shellcheck shell=bash
# shellcheck disable=SC2154 # here, env_dir, bin: of the script that sources this
# Sourced by kube.sh and node.sh after lib.sh: certificates, kubeconfigs and the control plane.
# Needs STATE, bin, ADDRESS and API_PORT (of the API server), PODS and SERVICES (their networks),
# and SERVICE_IP (the first address of SERVICES).

# shellcheck source=../certificates.sh
. "$env_dir/certificates.sh"

# With a umask of 077, containerd and kubelet would make image roots and volumes that only root can
# enter.
umask 022

kubeconfig() { # kubeconfig NAME: from pki/NAME.{crt,key}; a private file
  (
    umask 077
    cat > "$STATE/$1.kubeconfig" << END
apiVersion: v1
kind: Config
current-context: local
clusters: [{name: local, cluster: {server: "https://$ADDRESS:$API_PORT", certificate-authority-data: $(base64 -w 0 < "$STATE/pki/ca.crt")}}]
contexts: [{name: local, context: {cluster: local, user: $1}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w 0 < "$STATE/pki/$1.crt"), client-key-data: $(base64 -w 0 < "$STATE/pki/$1.key")}}]
END
  )
}
identities() { # identities NODE_NAME
  local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local n
  mkdir -p "$STATE/pki"
  (
    umask 077
    cd "$STATE/pki" || exit
    authority ca
    authority front-proxy-ca
    certificate ca apiserver /CN=kube-apiserver "$names,IP:127.0.0.1,IP:$SERVICE_IP,IP:$ADDRESS"
    certificate ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    certificate front-proxy-ca front-proxy-client /CN=front-proxy-client
    certificate ca admin /O=system:masters/CN=admin
    certificate ca kwok /O=system:masters/CN=system:kwok
    certificate ca controller-manager /CN=system:kube-controller-manager
    certificate ca scheduler /CN=system:kube-scheduler
    certificate ca proxy /CN=system:kube-proxy
    certificate ca kubelet "/O=system:nodes/CN=system:node:$1" "DNS:$1,IP:$ADDRESS"
    openssl ecparam -name prime256v1 -genkey -noout -out sa.key
    openssl ec -in sa.key -pubout -out sa.pub 2> /dev/null
  )
  for n in admin kwok controller-manager scheduler proxy kubelet; do kubeconfig "$n"; done
}

control_plane() { # control_plane ETCD_PORT ETCD_PEER_PORT CONTROLLER_MANAGER_PORT SCHEDULER_PORT [API_SERVER_FLAG...]
  local p=$STATE/pki etcd=http://127.0.0.1:$1 peer=http://127.0.0.1:$2 manager_port=$3 scheduler_port=$4
  local m=$STATE/controller-manager.kubeconfig s=$STATE/scheduler.kubeconfig
  shift 4
  start etcd "$bin/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
  start kube-apiserver "$bin/kube-apiserver" --etcd-servers "$etcd" \
    --bind-address "$ADDRESS" --advertise-address "$ADDRESS" --secure-port "$API_PORT" \
    --tls-cert-file "$p/apiserver.crt" --tls-private-key-file "$p/apiserver.key" --client-ca-file "$p/ca.crt" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$p/sa.pub" --service-account-signing-key-file "$p/sa.key" \
    --service-cluster-ip-range "$SERVICES" \
    --audit-policy-file "$here/audit-policy.yaml" --audit-log-path "$STATE/log/audit.log" \
    --kubelet-preferred-address-types InternalIP --kubelet-certificate-authority "$p/ca.crt" \
    --kubelet-client-certificate "$p/apiserver-kubelet-client.crt" --kubelet-client-key "$p/apiserver-kubelet-client.key" \
    --requestheader-client-ca-file "$p/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group --requestheader-username-headers X-Remote-User \
    --proxy-client-cert-file "$p/front-proxy-client.crt" --proxy-client-key-file "$p/front-proxy-client.key" "$@"
  until_true 120 "the API server to be ready" "$bin/kubectl" --kubeconfig "$STATE/admin.kubeconfig" get --raw /readyz
  # The rates are for tests that create and delete hundreds of Pods and dozens of namespaces at
  # once.
  start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$m" --authentication-kubeconfig "$m" --authorization-kubeconfig "$m" \
    --bind-address 127.0.0.1 --secure-port "$manager_port" --leader-elect=false --use-service-account-credentials \
    --root-ca-file "$p/ca.crt" --service-account-private-key-file "$p/sa.key" \
    --cluster-signing-cert-file "$p/ca.crt" --cluster-signing-key-file "$p/ca.key" \
    --allocate-node-cidrs --cluster-cidr "$PODS" --service-cluster-ip-range "$SERVICES" \
    --kube-api-qps 200 --kube-api-burst 400 --flex-volume-plugin-dir "$STATE/flexvolume"
  start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$s" --authentication-kubeconfig "$s" --authorization-kubeconfig "$s" \
    --bind-address 127.0.0.1 --secure-port "$scheduler_port" --leader-elect=false --kube-api-qps 200 --kube-api-burst 400
}
