# The daemon, with PyPI's CUDA build of torch; for a CPU build pass PyTorch's CPU index as --build-arg TORCH_INDEX=…
FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=
WORKDIR /src
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} 'torch==2.13.*'
COPY pyproject.toml README.md LICENSE ./
COPY sentinel_worker ./sentinel_worker
COPY migrations ./migrations
RUN /opt/venv/bin/pip install --no-cache-dir .

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --uid 10001 sentinel
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH HF_HUB_OFFLINE=1
USER sentinel
# SENTINEL_DRAIN_SECONDS is 60: stop with `docker stop --time 100`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sentinel-worker"]
CMD ["run"]
