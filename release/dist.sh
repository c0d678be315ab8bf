#!/usr/bin/env bash
# Makes the files of a release in dist/.
#
#   dist.sh                 all of the following, for this machine
#   dist.sh check [TAG]     checks that Cargo.toml, the chart, CHANGELOG.md and TAG have one version
#   dist.sh archive         the program, the licence and the README, as .tar.gz or .zip
#   dist.sh chart           the chart, packaged by Helm
#   dist.sh sbom            what the program is made of, in the format of CycloneDX
#   dist.sh notes           the section of CHANGELOG.md
#   dist.sh checksums       the SHA-256 of all files that are in dist/
#
# On Linux the program is the operator with all commands. For macOS and Windows it has those that
# connect to nothing: decide, simulate, crd.
#
# LAGRANGE_PROFILE: cargo's profile, release unless set. LAGRANGE_TARGET: the platform in Rust's
# terms, this machine's unless set. LAGRANGE_DIST: the directory, dist unless set.
# LAGRANGE_OPERATOR=no: on Linux too only the commands that connect to nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
dist=${LAGRANGE_DIST:-dist}
profile=${LAGRANGE_PROFILE:-release}
# The versions of tools that are compiled where they are missing.
cyclonedx=0.5.9

die() { echo "dist: $*" >&2; exit 1; }
host() { rustc -vV | sed -n 's/^host: //p'; }
value() { sed -n "s/^$1[:= ]*\"\{0,1\}\([^\" ]*\)\"\{0,1\}$/\1/p" "$2" | head -n 1; }
version=$(value version Cargo.toml)
commit=$(git rev-parse HEAD)
target=${LAGRANGE_TARGET:-$(host)}
mkdir -p "$dist"

check() { # check [TAG]
  local tag=${1:-} chart=charts/lagrange/Chart.yaml wrong=() field
  for field in version appVersion; do
    [ "$(value $field $chart)" = "$version" ] || wrong+=("$field in $chart is $(value $field $chart)")
  done
  if [ -n "$tag" ]; then
    [ "$tag" = "v$version" ] || wrong+=("the tag is $tag, not v$version")
    grep -q "^## $version\( \|$\)" CHANGELOG.md || wrong+=("CHANGELOG.md has no section '## $version'")
  fi
  [ ${#wrong[@]} = 0 ] || die "the version in Cargo.toml is $version, but $(printf '%s; ' "${wrong[@]}" | sed 's/; $//')"
}

# features: of the program for this target, as cargo's arguments.
features() {
  case $target,${LAGRANGE_OPERATOR:-} in
    *-linux-*,no) echo --no-default-features ;;
    *-linux-*) echo --features vendored ;;
    *) echo --no-default-features ;;
  esac
}

archive() {
  local program=lagrange name=lagrange-$version-$target built arguments=()
  [[ $target != *-windows-* ]] || program=lagrange.exe
  read -ra arguments <<< "$(features)"
  LAGRANGE_COMMIT=$commit cargo build --locked --profile "$profile" --target "$target" --bin lagrange "${arguments[@]}"
  built=${CARGO_TARGET_DIR:-target}/$target/${profile/#dev/debug}/$program
  rm -rf "${dist:?}/$name"
  mkdir "$dist/$name"
  cp "$built" LICENSE README.md "$dist/$name/"
  if [[ $target = *-windows-* ]]; then
    (cd "$dist" && python3 -m zipfile -c "$name.zip" "$name")
  else
    tar -C "$dist" -czf "$dist/$name.tar.gz" "$name"
  fi
  rm -r "${dist:?}/$name"
}

chart() {
  local helm=helm
  # The tests' own Helm where there is none.
  command -v helm > /dev/null || helm=$(tests/env/kubernetes/kube.sh bin)/helm
  "$helm" package charts/lagrange --destination "$dist" > /dev/null
}

sbom() {
  local tools=${CARGO_TARGET_DIR:-target}/tools arguments=()
  read -ra arguments <<< "$(features)"
  [ -x "$tools/bin/cargo-cyclonedx" ] || cargo install --quiet --locked --root "$tools" "cargo-cyclonedx@$cyclonedx"
  # It writes beside the manifest.
  "$tools/bin/cargo-cyclonedx" cyclonedx --quiet --manifest-path Cargo.toml --format json --target "$target" \
    "${arguments[@]}" --describe binaries --override-filename sbom
  mv sbom.json "$dist/lagrange-$version-$target.cdx.json"
}

# The section of the version, or of what is not released yet.
notes() {
  local heading=$version
  grep -q "^## $version\( \|$\)" CHANGELOG.md || heading=Unreleased
  awk -v heading="$heading" '/^## / {is_in = $2 == heading; next} is_in' CHANGELOG.md |
    sed '/./,$!d' > "$dist/notes.md"
  [ -s "$dist/notes.md" ] || die "the section '## $heading' of CHANGELOG.md is empty"
}

checksums() {
  rm -f "$dist/SHA256SUMS"
  (cd "$dist" && LC_ALL=C sha256sum lagrange-* > SHA256SUMS)
}

case ${1:-all} in
  -h | --help) awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "${BASH_SOURCE[0]}" ;;
  all)
    check
    archive
    chart
    sbom
    notes
    checksums
    ls -l "$dist" ;;
  check) check "${2:-}" ;;
  archive | chart | sbom | notes | checksums) "$1" ;;
  *) die "no step '$1': dist.sh --help lists them" ;;
esac
