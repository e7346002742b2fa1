# Faceline's image. Targets: cpu (the last, so the default) and gpu. How to build, run and rebuild it: docs/image.md.
# Bases are pinned by tag; hand over NAME:TAG@sha256:DIGEST for a build that is the same to the last layer.
ARG BASE_IMAGE=docker.io/library/python:3.11.15-slim-bookworm
ARG GPU_BASE_IMAGE=nvcr.io/nvidia/tensorrt:26.07-py3
# baked: published models lie in the image; mounted: FACELINE_MODELS__DIR is a volume
ARG MODELS=baked

# Faceline's own wheel. A secret pip.conf names the index, where it isn't pip's own.
FROM ${BASE_IMAGE} AS wheel
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.lock requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    python3 -m venv --without-pip /opt/build \
    && python3 -m pip --python /opt/build/bin/python install --require-hashes --no-compile -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
RUN python3 -m pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /wheels .

# Everything that serving needs, in one folder that the last stages copy. Bytecode is made here, since nothing can write
# it later, and never checked against its source, so that dates don't matter.
FROM ${BASE_IMAGE} AS build-cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/serve.lock /src/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    python3 -m venv --without-pip /opt/faceline \
    && python3 -m pip --python /opt/faceline/bin/python install --require-hashes --no-compile -r /src/serve.lock
COPY --from=wheel /wheels /wheels
RUN python3 -m pip --python /opt/faceline/bin/python install --no-deps --no-index --no-compile /wheels/*.whl \
    && /opt/faceline/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/faceline/lib

# The same over the base that has TensorRT and its Python bindings: the folder sees the base's packages, its own go first.
# Without a GPU they can be imported all the same, so a base that lacks them is refused here.
FROM ${GPU_BASE_IMAGE} AS build-gpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/gpu.lock /src/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    python3 -m venv --without-pip --system-site-packages /opt/faceline \
    && python3 -m pip --python /opt/faceline/bin/python install --require-hashes --no-compile --ignore-installed \
        -r /src/gpu.lock
COPY --from=wheel /wheels /wheels
RUN python3 -m pip --python /opt/faceline/bin/python install --no-deps --no-index --no-compile /wheels/*.whl \
    && /opt/faceline/bin/python -B -c 'import cuda.bindings.runtime, tensorrt' \
    && /opt/faceline/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/faceline/lib

# Published models: from the build context "published" where there is one, else fetched; digests are checked either way.
# What was rewritten is kept, the files as they were published are not.
FROM scratch AS published

FROM build-cpu AS models
ARG MODELS
ENV FACELINE_MODELS__DIR=/opt/faceline/models
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    --mount=type=bind,from=published,target=/published \
    mkdir /opt/faceline/models \
    && case "$MODELS" in \
        baked) /opt/faceline/bin/faceline models pull --from /published \
            && rm /opt/faceline/models/face_*_20?????.onnx ;; \
        mounted) ;; \
        *) echo "MODELS is $MODELS: expected baked or mounted" >&2; exit 1 ;; \
    esac

FROM ${GPU_BASE_IMAGE} AS gpu
COPY --from=build-gpu /opt/faceline /opt/faceline
COPY --from=models /opt/faceline/models /opt/faceline/models
RUN echo 'faceline:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'faceline:x:10001:' >> /etc/group \
    && mkdir -p /etc/faceline /var/cache/faceline/engines \
    && echo '{}' > /etc/faceline/faceline.yaml \
    && chown 10001:10001 /var/cache/faceline/engines
ENV PATH=/opt/faceline/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    FACELINE_CONFIG=/etc/faceline/faceline.yaml \
    FACELINE_MODELS__DIR=/opt/faceline/models \
    FACELINE_ENGINE__CACHE_DIR=/var/cache/faceline/engines
WORKDIR /tmp
USER 10001:10001
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["faceline", "probe", "livez"]
ENTRYPOINT ["faceline"]
CMD ["run"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Faceline" \
      org.opencontainers.image.description="Camera frames in, identity events out; for NVIDIA GPUs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/faceline/faceline" \
      org.opencontainers.image.documentation="https://github.com/faceline/faceline/blob/main/docs/image.md" \
      org.opencontainers.image.vendor="The Faceline authors"

FROM ${BASE_IMAGE} AS cpu
COPY --from=build-cpu /opt/faceline /opt/faceline
COPY --from=models /opt/faceline/models /opt/faceline/models
RUN echo 'faceline:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'faceline:x:10001:' >> /etc/group \
    && mkdir -p /etc/faceline /var/cache/faceline/engines \
    && echo '{}' > /etc/faceline/faceline.yaml \
    && chown 10001:10001 /var/cache/faceline/engines
ENV PATH=/opt/faceline/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    FACELINE_CONFIG=/etc/faceline/faceline.yaml \
    FACELINE_MODELS__DIR=/opt/faceline/models \
    FACELINE_ENGINE__CACHE_DIR=/var/cache/faceline/engines
WORKDIR /tmp
USER 10001:10001
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["faceline", "probe", "livez"]
ENTRYPOINT ["faceline"]
CMD ["run"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Faceline" \
      org.opencontainers.image.description="Camera frames in, identity events out" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/faceline/faceline" \
      org.opencontainers.image.documentation="https://github.com/faceline/faceline/blob/main/docs/image.md" \
      org.opencontainers.image.vendor="The Faceline authors"
