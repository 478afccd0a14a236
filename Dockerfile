# One image for every role. No part of it comes from the internet but the base image and, unless the folder wheels/
# holds them, the wheels: docs/operations.md, "Install without internet".
#   docker build --tag heatwatch:0.1.0 .
#   docker build --build-arg PIP_ARGS="--no-index --find-links wheels" --tag heatwatch:0.1.0 .

FROM python:3.11.15-slim-bookworm AS build
ARG PIP_ARGS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# The folder of wheels need not be there.
COPY deploy/requirements.lock deploy/build.lock wheel[s] ./wheels/
RUN python -m venv /opt/heatwatch && \
    /opt/heatwatch/bin/python -m pip install ${PIP_ARGS} --require-hashes --requirement wheels/requirements.lock && \
    python -m venv /opt/build && \
    /opt/build/bin/python -m pip install ${PIP_ARGS} --require-hashes --requirement wheels/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY heatwatch ./heatwatch
COPY ingest ./ingest
COPY analytics ./analytics
COPY dispatch ./dispatch
COPY api ./api
COPY dashboards ./dashboards
COPY simulators ./simulators
COPY cli ./cli
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /dist . && \
    /opt/heatwatch/bin/python -m pip install --no-index --no-deps /dist/*.whl && \
    /opt/heatwatch/bin/python -m pip uninstall --yes pip setuptools && \
    cd /opt/heatwatch/lib/python3.11/site-packages && \
    rm -rf distributed/tests numba/tests pandas/tests pyarrow/include pyarrow/tests

FROM python:3.11.15-slim-bookworm
LABEL org.opencontainers.image.title="heatwatch" \
      org.opencontainers.image.description="Room temperatures of district heating, from a thermometer on MQTT to a verdict, a ticket and a notice" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# Named volumes take over the owner of what they cover. Compiled kernels are kept in /var/cache/heatwatch.
RUN groupadd --gid 10001 heatwatch && \
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/heatwatch --no-create-home --shell /usr/sbin/nologin heatwatch && \
    install --directory --owner 10001 --group 10001 --mode 0750 /var/lib/heatwatch /var/cache/heatwatch && \
    install --directory --owner 10001 --group 10001 --mode 0755 /var/lib/heatwatch-tokens /var/lib/grafana-dashboards && \
    python -m pip uninstall --yes --quiet pip setuptools wheel
COPY --from=build /opt/heatwatch /opt/heatwatch
ENV PATH=/opt/heatwatch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/var/cache/heatwatch \
    HEATWATCH_DATA_DIR=/var/lib/heatwatch \
    HEATWATCH_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/heatwatch
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 CMD ["heatwatch", "health"]
ENTRYPOINT ["heatwatch"]
CMD ["serve"]
