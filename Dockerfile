# The image of the operator, for linux/amd64 and linux/arm64. Build it with BuildKit, the default
# since Docker 23, or with podman or buildah:
#
#   make image                                                    # localhost/lagrange:VERSION
#   docker build -t localhost/lagrange:0.1.0-gssapi --build-arg FEATURES=gssapi .     # with Kerberos: docs/connections/kerberos.md
#
# Arguments:
#   FEATURES          more of cargo's features, such as gssapi
#   PROFILE           cargo's profile: release, or dev, which compiles in a third of the time
#   LAGRANGE_COMMIT   what `lagrange --version` and the label of the revision say
#   SOURCE_DATE_EPOCH see `make image`
#
# The same sources give the same image: paths are the same in each build, and nothing asks for the
# time.

# Same toolchain as rust-toolchain.toml (a test compares them), same Debian as below, so that the
# libraries match. It runs on the platform of the machine that builds, and compiles for the other.
FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS tools
ARG TARGETARCH
# cmake: for librdkafka. The compiler of another platform and Rust's library for it: only if needed.
RUN case "$TARGETARCH" in \
      amd64) cpu=x86_64 ;; \
      arm64) cpu=aarch64 ;; \
      *) echo "there is no image for '$TARGETARCH': build for linux/amd64 or linux/arm64" >&2; exit 1 ;; \
    esac \
 && echo "$cpu" > /cpu \
 && cross= \
 && if [ "$TARGETARCH" != "$(dpkg --print-architecture)" ]; then \
      cross="g++-$(echo $cpu | tr _ -)-linux-gnu libc6-dev-$TARGETARCH-cross"; \
      rustup target add "$cpu-unknown-linux-gnu"; \
    fi \
 && apt-get update \
 && apt-get install --yes --no-install-recommends cmake $cross \
 && rm -rf /var/lib/apt/lists/*
# Writes into the binary which crates are in it, where scanners look for it.
RUN cargo install --quiet --locked --root /usr/local cargo-auditable@0.7.7
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_PROFILE_DEV_STRIP=symbols \
    CARGO_INCREMENTAL=0 \
    SOURCE_DATE_EPOCH=0
WORKDIR /build

# The manifests, and an empty program in place of each root of a crate: all that cargo needs to
# compile the dependencies.
FROM tools AS manifests
# The files that .dockerignore allows. rust-toolchain.toml is not one of them: with it rustup would
# fetch components that only developers need.
COPY . .
RUN mkdir /manifests \
 && find . \( -name Cargo.toml -o -name Cargo.lock \
      -o -name lib.rs -o -name main.rs -o -name build.rs -o -regex '.*/\(tests\|benches\)/[^/]*\.rs' \) \
      -exec cp --parents -t /manifests {} + \
 && find /manifests -name '*.rs' > /roots \
 && while read -r root; do printf '//! Empty.\nfn main() {}\n' > "$root"; done < /roots \
 && find /manifests -exec touch --date=@0 {} +

# A layer of its own: a change of our sources does not compile the dependencies again.
FROM tools AS build
ARG FEATURES=
ARG PROFILE=release
COPY --from=manifests /manifests .
RUN cargo auditable build --profile "$PROFILE" --locked --bin lagrange --features "vendored $FEATURES" --target "$(cat /cpu)-unknown-linux-gnu"
COPY . .
ARG LAGRANGE_COMMIT=
# touch: files of the context may be older than the empty programs that were compiled.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
 && cargo auditable build --profile "$PROFILE" --locked --bin lagrange --features "vendored $FEATURES" --target "$(cat /cpu)-unknown-linux-gnu" \
 && install -D "target/$(cat /cpu)-unknown-linux-gnu/$(echo "$PROFILE" | sed 's/^dev$/debug/')/lagrange" /out/lagrange

# glibc, libgcc and CA certificates, user 65532; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG LAGRANGE_COMMIT=
ARG VERSION=
LABEL org.opencontainers.image.title="Lagrange" \
      org.opencontainers.image.description="Kubernetes operator that sizes Kafka consumer groups" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$LAGRANGE_COMMIT" \
      org.opencontainers.image.source="https://github.com/lagrange-dev/lagrange"
COPY --from=build /out/lagrange /usr/local/bin/lagrange
# By number: Kubernetes cannot check whether a name is root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/lagrange"]
