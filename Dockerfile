# The operator's image: one static program on an empty file system, as a user without rights.
#
#   docker build --tag daskflow .          needs BuildKit (docker's default) or buildah, for the cache mounts

ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-bookworm AS build
# release; e2e builds faster and serves the tests
ARG PROFILE=release
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# Cargo wants to see every target that its manifest names.
COPY benches benches
COPY src src
# Static, so that the image needs no base of its own; glibc 2.36 brings its resolver along. --target keeps the flag away
# from procedural macros, which are loaded while compiling. The caches outlive a build, and cargo judges by file times:
# without the touch, sources older than the last build would count as built.
RUN --mount=type=cache,id=daskflow-cargo,target=/cargo,sharing=locked \
    --mount=type=cache,id=daskflow-target,target=/target,sharing=locked \
    export CARGO_HOME=/cargo CARGO_TARGET_DIR=/target RUSTFLAGS="-C target-feature=+crt-static" \
    && target=$(rustc -vV | sed -n 's/^host: //p') \
    && find src -type f -exec touch {} + \
    && cargo build --locked --bin daskflow --profile "$PROFILE" --target "$target" \
    && cp "/target/$target/$PROFILE/daskflow" /daskflow

FROM scratch
COPY --from=build /daskflow /daskflow
USER 65532:65532
ENTRYPOINT ["/daskflow"]
CMD ["operator"]
