#!/usr/bin/env bash
# Makes a container image of one binary of this machine, without Docker, with the shared libraries
# that it needs and the CA certificates.
#
#   image.sh IMAGE OUT.tar BINARY
#
# IMAGE: localhost/NAME:TAG, for use with imagePullPolicy IfNotPresent. OUT.tar has the format of
# `docker save`, for `kubernetes/kube.sh load-image STATE OUT.tar` and `docker load`.
# The image has /usr/local/bin/BINARY (the entrypoint, without debugging symbols), user 65532, /tmp,
# and no shell.
set -euo pipefail
script=${BASH_SOURCE[0]}
# shellcheck source=lib.sh
. "$(dirname "$script")/lib.sh"

case ${1:-} in -h | --help) usage; exit ;; esac
[ $# = 3 ] || { usage >&2; exit 2; }
image=$1 out=$2 binary=$3 name=$(basename "$3")
[ -x "$binary" ] || die "no program at $binary" "build it first"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{usr/local/bin,etc/ssl/certs,tmp}
chmod 1777 "$root/tmp"
if ! command -v strip > /dev/null || ! strip -o "$root/usr/local/bin/$name" "$binary" 2> /dev/null; then
  cp "$binary" "$root/usr/local/bin/$name"
fi
chmod 755 "$root/usr/local/bin/$name"
# ldd fails for a static program, which has no libraries.
{ ldd "$binary" 2> /dev/null || true; } | awk '{for (i = 1; i <= NF; i++) if ($i ~ /^\//) {print $i; break}}' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' > "$root/etc/passwd"
echo 'nonroot:x:65532:' > "$root/etc/group"
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"

case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) architecture=$(uname -m) ;; esac
# The same binary gives the same image. a+rX: with mktemp's 0700 the user could not enter the root.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a+rX -C "$root" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
cat > "$work/config.json" << END
{"architecture":"$architecture","os":"linux","config":{"Entrypoint":["/usr/local/bin/$name"],"Env":["PATH=/usr/local/bin"],"User":"65532:65532","WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created_by":"image.sh"}]}
END
config=$(sha256sum "$work/config.json" | cut -d ' ' -f 1)
mv "$work/config.json" "$work/$config.json"
echo "[{\"Config\":\"$config.json\",\"RepoTags\":[\"$image\"],\"Layers\":[\"layer.tar\"]}]" > "$work/manifest.json"
tar -C "$work" -cf "$out" manifest.json "$config.json" layer.tar
