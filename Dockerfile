# The service as one image: `docker build .`, or `docker compose up` with docker-compose.yml.
#
# The packages are put together in a stage of its own, so that what built them stays behind.
FROM python:3.13-slim-bookworm AS packages
COPY requirements.lock /build/
RUN ["python", "-m", "venv", "--without-pip", "/opt/venv"]
RUN ["python", "-m", "pip", "--python", "/opt/venv/bin/python", "install", "--no-cache-dir", "--no-input", \
     "--disable-pip-version-check", "--require-hashes", "--requirement", "/build/requirements.lock"]

FROM python:3.13-slim-bookworm
RUN ["useradd", "--system", "--user-group", "--uid", "10001", "--no-create-home", "--home-dir", "/nonexistent", \
     "--shell", "/usr/sbin/nologin", "darkroom"]
# A new volume takes over the owner of the directory that it is mounted on.
RUN ["install", "--directory", "--owner=10001", "--group=10001", "--mode=0700", "/data"]
COPY --from=packages /opt/venv /opt/venv
COPY pyproject.toml requirements.lock /opt/darkroom/
COPY app /opt/darkroom/app/
COPY db /opt/darkroom/db/
COPY pipeline /opt/darkroom/pipeline/
COPY pubsub /opt/darkroom/pubsub/
COPY resolvers /opt/darkroom/resolvers/
COPY schema /opt/darkroom/schema/
COPY services /opt/darkroom/services/
COPY storage /opt/darkroom/storage/
COPY web/graphiql/dist /opt/darkroom/web/graphiql/dist/
# Once here, as the service can't write beside its code.
RUN ["/opt/venv/bin/python", "-m", "compileall", "-q", "/opt/darkroom"]

# DARKROOM_HOST opens the service to whoever reaches the container, so it refuses to start until it is told
# that this is meant: DARKROOM_ALLOW_ANONYMOUS and DARKROOM_PUBLIC_URL, as docker-compose.yml sets them.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DARKROOM_HOST=0.0.0.0 \
    DARKROOM_PORT=8000 \
    DARKROOM_DATA_DIR=/data
WORKDIR /opt/darkroom
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# There is no curl in a slim image. No proxy may come between: the question is for this container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-c", "import os, urllib.request as web; web.build_opener(web.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ['DARKROOM_PORT']}/readyz\", timeout=4)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
