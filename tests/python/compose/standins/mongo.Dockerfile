# In place of mongo:8.0: SecantusDB, which speaks MongoDB's protocol, with just enough of a mongosh.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3
COPY packages /opt/packages
ENV PYTHONPATH=/opt/packages PYTHONDONTWRITEBYTECODE=1
COPY mongod mongosh /usr/local/bin/
VOLUME /data/db
CMD ["mongod"]
