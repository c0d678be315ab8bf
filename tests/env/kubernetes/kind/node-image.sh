#!/usr/bin/env bash
# node-image.sh BIN IMAGE DIRECTORY: makes DIRECTORY/node.tar.zst, the node image of kind, without a
# container engine and without a registry: Debian packages, the programs that build.sh has put into
# BIN, and the files of node/. `docker load` and `podman load` take it. Root; cgroup v1. Called by
# kind.sh, which keeps the result.
#
# LAGRANGE_DEBIAN_MIRROR: where the packages are, if not at http://deb.debian.org/debian.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$1 image=$2 out=$3
work=$out/work
root=$work/root
mkdir "$work"
trap 'rm -rf "$work"' EXIT
umask 022

# Debian 12, whose systemd still knows cgroup v1.
echo "installing Debian"
mirror=${LAGRANGE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
options=(--variant=essential --components=main)
for tree in doc man locale info lintian; do options+=("--dpkgopt=path-exclude=/usr/share/$tree/*"); done
packages=systemd,systemd-sysv,containerd,runc,containernetworking-plugins,iproute2,iptables,conntrack,kmod,mount,procps,hostname
mmdebstrap --quiet "${options[@]}" --include="$packages" bookworm "$root" "$mirror"

echo "adding Kubernetes"
version=$("$bin/kubeadm" version --output short)
wanted=$("$bin/kubeadm" config images list --kubernetes-version "$version")
tag() { sed -n "s#^\(.*/$1:.*\)#\1#p" <<< "$wanted"; }
cp -r "$here/node/." "$root/"
sed -i "s#registry.k8s.io/pause:PAUSE#$(tag pause)#" "$root/etc/containerd/config.toml"
cp "$bin/kube" "$root/usr/bin/"
for name in kubelet kubectl kubeadm; do ln -s kube "$root/usr/bin/$name"; done
mkdir -p "$root/opt/cni"
ln -s /usr/lib/cni "$root/opt/cni/bin"
echo -n "$version" > "$root/kind/version"
echo node > "$root/etc/hostname"

# The images of the control plane and of kube-proxy are one, `kube` under its names, with iptables
# for kube-proxy. Each extension of iptables has libraries of its own, too.
images=$root/kind/images
r=$images/kube
mkdir -p "$r"/{usr/local/bin,usr/bin,usr/sbin,usr/lib64,usr/lib/x86_64-linux-gnu,etc,tmp,run,var/lib,root}
for dir in lib lib64 bin sbin; do ln -s "usr/$dir" "$r/$dir"; done
ln "$root/usr/bin/kube" "$r/usr/local/bin/kube" # one file, so that it is in memory once
for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd; do ln -s kube "$r/usr/local/bin/$name"; done
cp "$root/usr/sbin/xtables-nft-multi" "$r/usr/sbin/"
for name in iptables ip6tables; do
  for suffix in '' -save -restore; do ln -s xtables-nft-multi "$r/usr/sbin/$name$suffix"; done
done
cp -r "$root/usr/lib/x86_64-linux-gnu/xtables" "$r/usr/lib/x86_64-linux-gnu/"
chroot "$root" sh -c 'ldd /usr/sbin/xtables-nft-multi /usr/lib/x86_64-linux-gnu/xtables/*.so' 2> /dev/null |
  awk '/:$/ {next} {for (i = 1; i <= NF; i++) if ($i ~ /^\//) {print $i; break}}' | sort -u | while read -r library; do
  mkdir -p "$r$(dirname "$library")"
  cp -L "$root$library" "$r$library"
done
mkdir "$images/coredns" "$images/pause"
cp "$bin/coredns" "$images/coredns/coredns"
cp "$bin/pause" "$images/pause/pause"

# manifest ENTRYPOINT_JSON OUT TAG...: OUT/manifest.json and its configuration, as `docker save`
# writes them, for OUT/layer.tar.
manifest() {
  local entrypoint=$1 dir=$2 layer config tags
  shift 2
  layer=$(sha256sum "$dir/layer.tar" | cut -d ' ' -f 1)
  cat > "$dir/config.json" << END
{"architecture":"amd64","os":"linux","config":{"Entrypoint":$entrypoint,"StopSignal":"SIGRTMIN+3","Env":["container=oci","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
END
  config=$(sha256sum "$dir/config.json" | cut -d ' ' -f 1)
  mv "$dir/config.json" "$dir/$config.json"
  tags=$(printf ',"%s"' "$@")
  echo "[{\"Config\":\"$config.json\",\"RepoTags\":[${tags:1}],\"Layers\":[\"layer.tar\"]}]" > "$dir/manifest.json"
}

# containerd gets an empty image of each name. Then what it has unpacked, a directory, becomes a link
# to the real one: so the files are neither twice in the image nor copied for each node.
echo "importing the images of Kubernetes"
mkdir "$root/kind/import"
empty() { # empty NAME ENTRYPOINT_JSON TAG...
  local dir=$work/$1
  mkdir -p "$dir/root"
  echo "$1" > "$dir/root/image"
  tar --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$dir/root" -cf "$dir/layer.tar" .
  manifest "$2" "$dir" "${@:3}"
  tar -C "$dir" -cf "$root/kind/import/$1.tar" --exclude ./root .
}
empty kube '[]' "$(tag kube-apiserver)" "$(tag kube-controller-manager)" "$(tag kube-scheduler)" "$(tag kube-proxy)" "$(tag etcd)"
empty coredns '["/coredns"]' "$(tag coredns)"
empty pause '["/pause"]' "$(tag pause)"
# shellcheck disable=SC2016 # expanded in the new root
unshare --mount --pid --net --ipc --uts --fork --kill-child chroot "$root" bash -euc '
  mount -t proc proc /proc
  mount -t tmpfs tmpfs /run
  containerd > /run/log 2>&1 &
  for ((tries = 0; tries < 200; tries++)); do
    ! ctr version > /dev/null 2>&1 || break
    sleep 0.1
  done
  for tar in /kind/import/*.tar; do ctr --namespace k8s.io images import --all-platforms "$tar" || { cat /run/log; exit 1; }; done
  kill %1
  wait %1 || true'
rm -r "$root/kind/import"
snapshots=$root/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots
for fs in "$snapshots"/*/fs; do
  name=$(< "$fs/image")
  rm -r "$fs"
  ln -s "/kind/images/$name" "$fs"
done

echo "packing the node image"
chroot "$root" systemctl --quiet enable kubelet.service containerd.service
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
  e2scrub_all.timer e2scrub_reap.service getty.target console-getty.service systemd-logind.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service
chroot "$root" systemctl --quiet set-default multi-user.target
rm -rf "${root:?}"/{dev,proc,sys,run,tmp}/* "$root"/var/lib/apt/lists "$root"/var/cache/apt
mkdir "$work/node"
tar --numeric-owner -C "$root" -cf "$work/node/layer.tar" .
manifest '["/usr/local/bin/entrypoint","/sbin/init"]' "$work/node" "$image"
tar -C "$work/node" -c . | zstd --quiet -3 --threads=0 -o "$out/node.tar.zst"
