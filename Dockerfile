# syntax=docker/dockerfile:1

# Builds everything once; the two images below take what they need.
FROM rust:1.95-slim-bookworm AS build
# SQLite and ring are compiled from C. The certificates are for the images below.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked \
      -p laneway-app --bin laneway \
      -p laneway-tests --bin receiver --bin verify \
 && mkdir /out \
 && cp target/dist/laneway target/dist/receiver target/dist/verify /out/ \
 && strip /out/*

FROM debian:bookworm-slim AS base
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/laneway --create-home laneway
# Without the package, which would bring OpenSSL along: nothing here uses it.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER laneway
WORKDIR /var/lib/laneway

# A receiver that shows what arrives, and the check of a running stack.
FROM base AS tools
COPY --from=build /out/receiver /out/verify /usr/local/bin/
ENTRYPOINT []

# The last stage is what `docker build .` makes: one binary. `laneway ingest` and `laneway worker` are its halves.
FROM base AS laneway
COPY --from=build /out/laneway /usr/local/bin/
# In a container the loopback address reaches nobody. Anything else needs LANEWAY_TOKENS.
ENV LANEWAY_LISTEN=0.0.0.0:8080 \
    LANEWAY_WORKER__LISTEN=0.0.0.0:8081
EXPOSE 8080 8081
VOLUME /var/lib/laneway
STOPSIGNAL SIGTERM
# `laneway worker` listens on 8081: its service overrides this.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["laneway", "ready", "--server", "http://127.0.0.1:8080"]
CMD ["laneway"]
