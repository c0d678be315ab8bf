#!/usr/bin/env bash
# Builds the Dockerfile.
#
#   operator-image.sh IMAGE [OPTION...]
#
#   --profile PROFILE    cargo's profile: release (default), or dev, in a third of the time
#   --features FEATURES  more of cargo's features, such as gssapi
#   --platform PLATFORM  linux/amd64 or linux/arm64 (default: this machine's)
#   --out OUT.tar        writes the image in the format of `docker save`, for
#                        `kubernetes/kube.sh load-image STATE OUT.tar` and `docker load`
#
# With Docker if its daemon answers, else with podman as root, which it installs on Debian. Without
# a registry, podman starts from images that are made here from Debian's packages and from this
# machine's Rust: see operator-image/bases.sh. The image stays in the engine's store.
set -euo pipefail
script=${BASH_SOURCE[0]}
# shellcheck source=lib.sh
. "$(dirname "$script")/lib.sh"
root=$env_dir/../..
# shellcheck source=engine.sh
. "$env_dir/engine.sh"
# shellcheck source=operator-image/bases.sh
. "$env_dir/operator-image/bases.sh"

case ${1:-} in -h | --help) usage; exit ;; esac
[ $# -ge 1 ] || { usage >&2; exit 2; }
image=$1 profile=release features='' platform='' out=''
shift
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=${2:?} ;;
    --features) features=${2?} ;;
    --platform) platform=${2:?} ;;
    --out) out=$(realpath "${2:?}") ;;
    *) usage >&2; exit 2 ;;
  esac
  shift 2
done

commit=$(git -C "$root" rev-parse HEAD 2> /dev/null) || commit=
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
# The time of the last change, in place of that of the build.
epoch=$(git -C "$root" log -1 --format=%ct 2> /dev/null) || epoch=0
arguments=(--tag "$image" --build-arg "PROFILE=$profile" --build-arg "FEATURES=$features"
  --build-arg "LAGRANGE_COMMIT=$commit" --build-arg "VERSION=$version")
[ -z "$platform" ] || arguments+=(--platform "$platform")

use_engine ''
mkdir -p "$cache"
log=$cache/operator-image-$$.log
advice="the dependencies are downloaded from crates.io: is it reachable?"
what="Building $image (profile $profile) with $engine; the first time takes minutes"
if [ "$engine" = docker ]; then
  step "$log" "$what" "$advice" \
    docker buildx build "${arguments[@]}" --build-arg "SOURCE_DATE_EPOCH=$epoch" --provenance=false \
    --output "type=docker,rewrite-timestamp=true" "$root"
else
  ensure_bases
  # chroot: a container within a container, as this may be, cannot do more.
  arguments+=(--isolation chroot --layers --timestamp "$epoch" --pull=never)
  # What the machine has downloaded is not downloaded again, and its certificates are known.
  registry=${CARGO_HOME:-$HOME/.cargo}/registry
  [ ! -d "$registry" ] || arguments+=(--volume "$registry:/usr/local/cargo/registry")
  certificates=/etc/ssl/certs/ca-certificates.crt
  [ ! -e "$certificates" ] || arguments+=(--volume "$certificates:$certificates:ro")
  TMPDIR=$cache step "$log" "$what" "$advice" podman build "${arguments[@]}" "$root"
fi
rm "$log"
[ -z "$out" ] || { rm -f "$out"; "$engine" save --output "$out" "$image" > /dev/null 2>&1; }
