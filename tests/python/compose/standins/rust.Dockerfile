# In place of rust:1.95-slim-bookworm: this machine's toolchain, with its way to the crates.
FROM debian:bookworm-slim
COPY toolchain /usr/local/rust
COPY cargo /usr/local/cargo
COPY certificates.crt /usr/local/cargo/
ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_HOME=/usr/local/cargo CARGO_HTTP_CAINFO=/usr/local/cargo/certificates.crt
