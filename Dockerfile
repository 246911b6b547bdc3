# The tag is the Go version of go.mod: the build downloads no toolchain.
FROM golang:1.26.8-alpine AS build
ENV CGO_ENABLED=0 GOTOOLCHAIN=local
WORKDIR /src

# The modules change less often than the code, so they are a layer of their own.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/cardworker ./cmd/cardworker

# Nothing but the program and the authorities it trusts: no shell, no package manager, no user database.
FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="cardworker" \
      org.opencontainers.image.description="Unblocks card PINs and CVVs through the Payblr API, and confirms it" \
      org.opencontainers.image.source="https://github.com/cardworker/cardworker" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/cardworker /cardworker
# 65532 is nobody in particular; deploy/secrets.sh gives its group the generated secrets.
USER 65532:65532
ENTRYPOINT ["/cardworker"]
CMD ["--help"]
