# A static binary on an empty image: no shell, no user but its own.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /runmetrics ./cmd/runmetrics \
 && mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /runmetrics /runmetrics
COPY --from=build --chown=nonroot:nonroot /data /data
ENV DATA_DIR=/data
USER nonroot
EXPOSE 8080
ENTRYPOINT ["/runmetrics"]
CMD ["run"]
