# shellcheck shell=bash
# shellcheck disable=SC2154 # cache, engine, image: of the scripts that source this
# Sourced after lib.sh and engine.sh: the images that the Dockerfile starts from, under their names,
# in podman's store. Pulled where a registry answers. Else made from Debian's packages and from this
# machine's Rust: the same files at the same places as far as a build and a binary need them.
#
# LAGRANGE_DEBIAN_MIRROR: where the packages are, if not at http://deb.debian.org/debian.

# from PATTERN: the name of the image that the Dockerfile starts from.
from() { sed -n "s#^FROM \(--platform=[^ ]* \)\?\($1[^ ]*\).*#\2#p" "$env_dir/../../Dockerfile" | head -n 1; }
ensure_bases() {
  local rust runtime
  rust=docker.io/library/$(from rust:) runtime=$(from gcr.io/)
  lock "$cache/operator-image-bases"
  ensure_base "$rust" rust_into
  ensure_base "$runtime" runtime_into
  unlock
}
ensure_base() { # ensure_base IMAGE FUNCTION
  if has_image "$1"; then return; fi
  if attempt "$cache/base-pull.log" "Pulling $1" timeout 600 "$engine" pull --quiet "$1"; then return; fi
  say "  no registry has answered"
  need mmdebstrap:mmdebstrap /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  base=$1 work=$(mktemp -d "$cache/base.XXXXXX")
  "$2"
  rm -rf "$work"
}
# debian ARGUMENT...: installs Debian 12 in $work/root.
debian() {
  step "$cache/base.log" "Making $base from Debian's packages" "Is the Debian mirror reachable? LAGRANGE_DEBIAN_MIRROR names another one." \
    mmdebstrap --quiet --components=main "$@" bookworm "$work/root" "${LAGRANGE_DEBIAN_MIRROR:-http://deb.debian.org/debian}"
}
# import CHANGE...: $work/root is the image.
import() {
  local changes=()
  for change in "$@"; do changes+=(--change "$change"); done
  # shellcheck disable=SC2016 # expanded by the inner shell
  TMPDIR=$cache step "$cache/base.log" "Importing $base" "Are 4 GB of disk free?" \
    bash -o pipefail -c 'tar -C "$1" -c . | podman import --quiet "${@:3}" - "$2"' _ "$work/root" "$base" "${changes[@]}"
}
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The compiler of C, and rustup with one toolchain.
rust_into() {
  local version name toolchain
  version=${base##*:} version=${version%%-*}
  toolchain=$(rustup run "$version" rustc --print sysroot 2> /dev/null) ||
    die "Rust $version is not installed on this machine" "rustup toolchain install $version"
  name=$version-$(rustup run "$version" rustc -vV | sed -n 's/^host: //p')
  debian --variant=buildd --include=ca-certificates,curl,git,pkg-config
  local rust=$work/root/usr/local/rustup cargo=$work/root/usr/local/cargo
  mkdir -p "$rust/toolchains/$name" "$cargo/bin"
  cp "${RUSTUP_HOME:-$HOME/.rustup}/settings.toml" "$rust/"
  cp -a --no-target-directory "$toolchain" "$rust/toolchains/$name"
  rm -rf "$rust/toolchains/$name/share/doc"
  sed -i "s/^default_toolchain = .*/default_toolchain = \"$name\"/" "$rust/settings.toml"
  cp -a "${CARGO_HOME:-$HOME/.cargo}"/bin/{rustup,cargo,rustc} "$cargo/bin/"
  import "ENV PATH=/usr/local/cargo/bin:$path" "ENV RUSTUP_HOME=/usr/local/rustup" "ENV CARGO_HOME=/usr/local/cargo" "ENV RUST_VERSION=$version"
}

# The C library and its relatives, certificates, time zones, a user. No shell and no package
# manager, but the list of packages, for scanners.
runtime_into() {
  local deb name root=$work/root
  mkdir -p "$work/debs" "$root/var/lib/dpkg/status.d"
  # shellcheck disable=SC2016 # expanded by the inner shell
  step "$cache/base.log" "Making $base from Debian's packages" "Is the Debian mirror reachable?" \
    bash -c 'apt-get update && cd "$1" && apt-get download "${@:2}"' _ "$work/debs" \
    base-files netbase tzdata libc6 libssl3 libgcc-s1 libstdc++6 libgomp1 ca-certificates
  for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$root"
    name=$(dpkg-deb -f "$deb" Package)
    dpkg-deb -f "$deb" > "$root/var/lib/dpkg/status.d/$name"
  done
  rm -rf "$root"/usr/share/{man,lintian}
  find "$root/usr/share/ca-certificates" -name '*.crt' | LC_ALL=C sort | xargs cat > "$root/etc/ssl/certs/ca-certificates.crt"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' > "$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' > "$root/etc/group"
  install -d -o 65532 -g 65532 "$root/home/nonroot"
  install -d -m 1777 "$root/tmp"
  import "ENV PATH=$path" "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" "USER 65532" "WORKDIR /home/nonroot"
}
