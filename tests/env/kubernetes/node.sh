#!/usr/bin/env bash
# PID 1 of the real node's namespaces, started by kube.sh: the control plane, containerd, kubelet,
# kube-proxy, DNS. When it ends, the kernel ends everything in the namespaces: no shim, mount,
# iptables rule or veth is left. Needs the exported variables STATE, bin, NODE, HOST (address of
# this machine on the link), ADDRESS (address of the node on it), PODS, SERVICES, SERVICE_IP.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=$here/kube.sh
# shellcheck source=../lib.sh
. "$here/../lib.sh"
# shellcheck source=control-plane.sh
. "$here/control-plane.sh"
record() { :; } # pids are different outside of the namespace
API_PORT=6443

hostname "$NODE"
# Private /run and node directories, and a /sys of this network namespace.
mkdir -p "$STATE"/{cni/net.d,cni/cache,cni/ipam,pods-log,containers-log,kubelet,sysfs-cgroup} /var/lib/cni /var/log/containers /var/lib/kubelet
mount --rbind /sys/fs/cgroup "$STATE/sysfs-cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$STATE/sysfs-cgroup" /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$STATE/kubelet" /var/lib/kubelet # a short path: kubelet's sockets have at most 107 characters
mount --bind "$STATE/cni/cache" /var/lib/cni
mount --bind "$STATE/containers-log" /var/log/containers
# kubelet would set these for the whole machine unless they have its values. Files with those values
# are mounted over them.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$STATE/sysctl-$(tr / - <<< "${setting%=*}")
  echo "${setting#*=}" > "$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done
touch "$STATE/namespaces-up"
until_true 20 "the link to this machine" test -e "$STATE/link-up"
ip link set lo up
ip addr add "$ADDRESS/24" dev eth0
ip link set eth0 up
# Both are settings of this network namespace only. It has no default route: nothing leaves the
# machine.
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 2> /dev/null > /proc/sys/net/bridge/bridge-nf-call-iptables || true

# restrict_oom_score_adj: otherwise runc fails without CAP_SYS_RESOURCE, with the message "can't get
# final child's PID from pipe".
cat > "$STATE/containerd.toml" << END
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni/net.d"
END
cat > "$STATE/cni/net.d/10-bridge.conflist" << END
{"cniVersion":"0.4.0","name":"local","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$STATE/cni/ipam","ranges":[[{"subnet":"$PODS"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
END
echo > "$STATE/resolv.conf"
# One cgroup per v1 hierarchy, as the parent of everything on this node.
group=/lagrange-$$-$RANDOM$RANDOM
echo "$group" > "$STATE/cgroup"
for hierarchy in /sys/fs/cgroup/*; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  mkdir -p "$hierarchy$group"
  for f in cpuset.cpus cpuset.mems; do
    if [ -e "$hierarchy/$f" ]; then cat "$hierarchy/$f" > "$hierarchy$group/$f"; fi
  done
done
cat > "$STATE/kubelet.yaml" << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: $group
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
address: $ADDRESS
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet.crt
tlsPrivateKeyFile: $STATE/pki/kubelet.key
clusterDomain: cluster.local
clusterDNS: [$ADDRESS]
resolvConf: $STATE/resolv.conf
podLogsDir: $STATE/pods-log
volumePluginDir: $STATE/kubelet/plugins-exec
failSwapOn: false
oomScoreAdj: 0
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
nodeStatusUpdateFrequency: 5s
END
cat > "$STATE/proxy.yaml" << END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $STATE/proxy.kubeconfig}
clusterCIDR: $PODS
hostnameOverride: $NODE
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
containers() { ctr --address /run/containerd/containerd.sock -n k8s.io "$@"; }
start containerd containerd --config "$STATE/containerd.toml"
control_plane 2379 2380 10257 10259
"$here/../image.sh" localhost/pause:1 "$STATE/pause.tar" "$bin/pause"
until_true 30 "containerd" containers version
containers images import "$STATE/pause.tar"
start kubelet "$bin/kubelet" --config "$STATE/kubelet.yaml" --kubeconfig "$STATE/kubelet.kubeconfig" \
  --root-dir /var/lib/kubelet --hostname-override "$NODE" --node-ip "$ADDRESS" --v 2
start dns "$bin/dns" --kubeconfig "$STATE/proxy.kubeconfig" --listen "$ADDRESS:53" --host "host.local=$HOST"
start kube-proxy "$bin/kube-proxy" --config "$STATE/proxy.yaml"
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $! || true; done
