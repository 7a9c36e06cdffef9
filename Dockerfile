# The host and its collectors in an image with nothing else: a static binary, certificates, components.
#
#   docker build -t collector-host .
#   docker run --rm -e GITHUB_TOKEN -e GITHUB_ORG=acme -e GITHUB_REPO=rocket collector-host run-all --dry-run --only github

FROM rust:1.95.0-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN rustup target add x86_64-unknown-linux-musl && ./just build-guests
RUN cargo build --release --locked --target x86_64-unknown-linux-musl -p host

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/x86_64-unknown-linux-musl/release/host /host
COPY --from=build /src/components /components
ENV HOST_COMPONENTS=/components HOST_STATE=/state
USER 65532:65532
VOLUME /state
ENTRYPOINT ["/host"]
CMD ["run-all"]
