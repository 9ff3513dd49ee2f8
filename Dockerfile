# A static binary on an empty image: no shell, no package, no user but a number.
#   docker build -t runmetrics --build-arg VERSION="$(git describe --tags --always --dirty)" \
#     --build-arg REVISION="$(git rev-parse HEAD)" --build-arg COMMIT_TIME="$(git log -1 --format=%cI)" .
#   docker run --read-only -p 127.0.0.1:8080:8080 -e HTTP_ADDR=0.0.0.0:8080 runmetrics run --insecure
# Without the arguments it calls itself devel.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
ARG REVISION
ARG COMMIT_TIME
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /out/runmetrics -ldflags="-s -w \
      -X main.givenVersion=$VERSION -X main.givenRevision=$REVISION -X main.givenTime=$COMMIT_TIME" ./cmd/runmetrics
RUN mkdir -p /out/data

FROM scratch
# Whom to trust, for TLS to NATS, Postgres, Dataverse and a collector. NATS_CA and sslrootcert name others.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/runmetrics /runmetrics
# The one place that is written to, so that everything else can be read-only. What is embedded lies there, and what replay
# sorts, which is about as large as the stream: too much for a /tmp in memory.
COPY --from=build --chown=65532:65532 /out/data /data
ENV DATA_DIR=/data TMPDIR=/data
VOLUME /data
USER 65532:65532
EXPOSE 8080
# It asks HTTP_ADDR, of all that is set for the service.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/runmetrics", "healthcheck"]
ENTRYPOINT ["/runmetrics"]
CMD ["run"]
ARG VERSION
ARG REVISION
ARG COMMIT_TIME
LABEL org.opencontainers.image.title="runmetrics" \
      org.opencontainers.image.description="Metrics of agent runs, from NATS JetStream into a database" \
      org.opencontainers.image.source="https://github.com/apexsalesai/runmetrics" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$COMMIT_TIME"
