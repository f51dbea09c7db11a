# The operator's image: one static program on an empty file system, as a user without rights.
#
#   docker build --tag daskflow .          needs BuildKit (docker's default) or buildah, for the cache mounts
#
# The same sources, compiler, C library and arguments are to give the same program: paths inside the
# build are always the same, and the program's time is SOURCE_DATE_EPOCH. tests/images/reproducible.sh builds twice and
# compares.

ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-bookworm AS build
# release; e2e builds faster and serves the tests
ARG PROFILE=release
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# Cargo wants to see every target that its manifest names.
COPY benches benches
COPY src src
COPY templates templates
# Static, so that the image needs no base of its own; glibc 2.36 brings its resolver along. --target keeps the flag away
# from procedural macros, which are loaded while compiling. The caches outlive a build, and cargo judges by file times:
# without the touch, sources older than the last build would count as built.
RUN --mount=type=cache,id=daskflow-cargo,target=/cargo,sharing=locked \
    --mount=type=cache,id=daskflow-target,target=/target,sharing=locked \
    export CARGO_HOME=/cargo CARGO_TARGET_DIR=/target RUSTFLAGS="-C target-feature=+crt-static" \
    && target=$(rustc -vV | sed -n 's/^host: //p') \
    && find src templates -type f -exec touch {} + \
    && cargo build --locked --bin daskflow --profile "$PROFILE" --target "$target" \
    && cp "/target/$target/$PROFILE/daskflow" /daskflow
ARG SOURCE_DATE_EPOCH=0
RUN touch --date="@$SOURCE_DATE_EPOCH" /daskflow

FROM scratch
# VERSION is that of Cargo.toml, which tests/files/supply_chain.rs checks; a release names its commit and where it is kept.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="daskflow" \
    org.opencontainers.image.description="A Kubernetes operator that deploys flows onto Dask clusters" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE"
COPY --from=build /daskflow /daskflow
USER 65532:65532
ENTRYPOINT ["/daskflow"]
CMD ["operator"]
