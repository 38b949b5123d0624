# The daemon, with PyPI's CUDA build of torch. For a CPU build pass PyTorch's CPU index as TORCH_INDEX, and the SHA-256
# that it lists for the torch wheel as TORCH_SHA256. The hash of every other file is in a lock (`make lock`).
# The tag of the base image moves with updates. For a reproducible build name a digest: --build-arg BASE=…@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_INDEX=
ARG TORCH_SHA256=
WORKDIR /src
RUN python -m venv /opt/venv && python -m venv /opt/build
COPY requirements.lock requirements-cuda.lock requirements-build.lock ./
RUN /opt/build/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r requirements-build.lock \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r requirements.lock
RUN torch=requirements-cuda.lock \
    && if [ -n "$TORCH_INDEX" ]; then \
        torch=requirements-cpu.txt \
        && echo "$(grep --only-matching '^torch==[^ ]*' requirements-cuda.lock)" \
            "--hash=sha256:${TORCH_SHA256:?TORCH_INDEX needs the hash of its wheel}" > "$torch"; \
    fi \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
        ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r "$torch"
COPY pyproject.toml README.md LICENSE ./
COPY sentinel_worker ./sentinel_worker
COPY migrations ./migrations
RUN /opt/build/bin/python -m hatchling build -t wheel \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl \
    && /opt/venv/bin/pip check

FROM ${BASE}
LABEL org.opencontainers.image.title="sentinel-worker" \
    org.opencontainers.image.description="Answers media analysis requests kept in Supabase" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --home-dir /tmp --shell /usr/sbin/nologin --uid 10001 --user-group sentinel \
    && install --directory --owner sentinel --group sentinel --mode 0700 /models /work
COPY --from=build /opt/venv /opt/venv
# This base's Python is linked to its shared library; one that is not (Debian's) needs the package libpython3.x here.
RUN /opt/venv/bin/python -c "from sentinel_worker.media import libraries; libraries.require_libraries()"
# The worker writes only to /tmp and /work.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    HF_HOME=/models \
    HF_HUB_OFFLINE=1 \
    HF_MODULES_CACHE=/tmp/modules \
    PYTHONDONTWRITEBYTECODE=1 \
    SENTINEL_WORK_DIR=/work
VOLUME ["/work"]
USER 10001:10001
# SENTINEL_DRAIN_SECONDS is 60: stop with `docker stop --time 100`.
STOPSIGNAL SIGTERM
# No health check: a worker that hangs loses its leases to others, and one that is broken exits.
HEALTHCHECK NONE
ENTRYPOINT ["sentinel-worker"]
CMD ["run"]
