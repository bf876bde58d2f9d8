# slidecar as an image of one file.
#
#   docker build -t slidecar .
#   docker run --rm -p 8080:8080 --env-file slidecar.env slidecar
#
# The same sources give the same image, to the byte:
#   podman build --timestamp 0 -t slidecar .
#   docker buildx build --build-arg SOURCE_DATE_EPOCH=0 --provenance=false --output type=oci,dest=slidecar.tar,rewrite-timestamp=true .
# A release pins the compiler by its digest too: --build-arg RUST=1.95-bookworm@sha256:…

# The whole image and not -slim, which lacks make; so nothing is installed here that could be another version tomorrow.
ARG RUST=1.95-bookworm

FROM rust:${RUST} AS build
# dev compiles faster, for trying the image itself.
ARG PROFILE=release
# A static binary of glibc: nothing of the system is needed at run time, also not for names of hosts. The settings of
# .cargo/config.toml hold beside it.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_INCREMENTAL=0
WORKDIR /build

# What others wrote, compiled in a layer that stays until Cargo.lock changes. Cargo wants to see a package, so it gets an empty one.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src benches \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs benches/session.rs \
    && cargo build --locked --lib --profile "$PROFILE" --target "$(rustc --print host-tuple)"

# What we wrote. Cargo goes by the times of files, and these are older than the empty package: without touch, it would think
# that nothing has changed.
COPY src src
COPY client/dist/served client/dist/served
COPY LICENSE ./
RUN touch src/lib.rs src/main.rs \
    && target=$(rustc --print host-tuple) \
    && cargo build --locked --bin slidecar --profile "$PROFILE" --target "$target" \
    && case "$PROFILE" in dev) folder=debug ;; *) folder=$PROFILE ;; esac \
    && install -D --mode=0755 "target/$target/$folder/slidecar" /image/usr/local/bin/slidecar \
    && install -D --mode=0644 LICENSE /image/LICENSE

# Nothing and not distroless/static: what that adds is root certificates, time zones and a user's name. The first are in the
# binary, the others are not used. So there is no base to keep up to date, and no shell, no package and no file that a
# scanner could complain of or that an intruder could use.
FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="slidecar" \
      org.opencontainers.image.description="Sliding sessions for any backend, as a sidecar" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT"
COPY --from=build /image/ /
# By number, for Kubernetes' runAsNonRoot looks at nothing else. It may not write anywhere, and binds no port below 1024.
USER 65532:65532
# SLIDECAR_LISTEN and SLIDECAR_ADMIN_LISTEN. The second is for probes and for Prometheus; do not publish it.
EXPOSE 8080 9180
# Begins a drain: new requests are still served for five seconds, those in flight for SLIDECAR_DRAIN (25s).
# Docker kills after ten seconds unless told otherwise: docker run --stop-timeout 30.
STOPSIGNAL SIGTERM
# For Docker and Compose. Kubernetes has probes, podman wants --format docker to keep it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s --retries=2 CMD ["/usr/local/bin/slidecar", "health"]
ENTRYPOINT ["/usr/local/bin/slidecar"]
