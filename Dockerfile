# Debian, not Alpine: the engine's library is built for glibc 2.34 and newer.
FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1
WORKDIR /build
COPY pyproject.toml requirements.lock requirements-runtime.lock ./
RUN sed -n '/^uv==/,/[^\\]$/p' requirements.lock | pip install --require-hashes -r /dev/stdin \
 && python -m venv --without-pip /opt/venv \
 && uv pip sync --require-hashes --compile-bytecode --python /opt/venv/bin/python requirements-runtime.lock
COPY README.md LICENSE ./
COPY src src
# The build backend is fetched in its locked version too.
RUN uv build --wheel --out-dir /dist --build-constraints requirements.lock --require-hashes \
 && uv pip install --no-deps --compile-bytecode --python /opt/venv/bin/python /dist/*.whl

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="Wagate" \
      org.opencontainers.image.description="Self-hosted, real-time WhatsApp session gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed uid, so that the owner of a mounted data directory can be set before the first start.
RUN useradd --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin wagate \
 && install -d -o wagate -g wagate -m 0700 /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WAGATE_DATA_DIRECTORY=/data \
    WAGATE_HOST=0.0.0.0 \
    WAGATE_PORT=3000
USER wagate
WORKDIR /data
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['WAGATE_PORT']), timeout=4); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["wagate"]
CMD ["serve"]
