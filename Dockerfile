# The image of the operator. Build it with BuildKit, the default since Docker 23:
#
#   docker build -t localhost/lagrange:0.1.0 .
#   docker build -t localhost/lagrange:0.1.0-gssapi --build-arg FEATURES=gssapi .     # with Kerberos: docs/connections/kerberos.md
#
# The first build takes minutes (it compiles librdkafka and OpenSSL); later ones reuse the caches
# below.

# Same toolchain as rust-toolchain.toml (a test compares them), same Debian as below, so that the
# libraries match.
FROM rust:1.95.0-bookworm AS build
# For the build of librdkafka; compiler, make and perl are in the image.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends cmake \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The files that .dockerignore allows. rust-toolchain.toml is not one of them: with it rustup would
# fetch components that only developers need.
COPY . .
# The binary is copied out of the cache, which is not part of the image. touch: sources from an
# archive may be older than the last build.
ARG TARGETPLATFORM
ARG FEATURES=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target,id=lagrange-target-$TARGETPLATFORM,sharing=locked \
    touch src/lib.rs crates/*/src/lib.rs \
 && cargo build --release --locked --bin lagrange --features "vendored $FEATURES" \
 && install -D target/release/lagrange /out/lagrange

# glibc, libgcc and CA certificates, user 65532; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Lagrange" \
      org.opencontainers.image.description="Kubernetes operator that sizes Kafka consumer groups" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/lagrange /usr/local/bin/lagrange
# By number: Kubernetes cannot check whether a name is root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/lagrange"]
