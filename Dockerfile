# syntax=docker/dockerfile:1
# netwarp on a CPU:           docker build --tag netwarp .
# netwarp on an NVIDIA GPU:   docker build --tag netwarp:cuda --build-arg TORCH=cu128 .
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS uv
RUN pip install --no-cache-dir "uv>=0.8,<1"
WORKDIR /build

# What netwarp needs: a layer that changes with the list of it alone.
FROM uv AS libraries
ARG TORCH=cpu
COPY pyproject.toml constraints.txt ./
RUN uv venv /opt/netwarp \
    && VIRTUAL_ENV=/opt/netwarp uv pip install --no-cache --torch-backend="${TORCH}" \
        --constraint constraints.txt --requirements pyproject.toml --extra models --extra live

FROM uv AS wheel
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
RUN uv build --wheel --out-dir /dist

FROM python:${PYTHON}-slim
ARG TORCH=cpu
# Triton makes the GPU's kernels with a C compiler when they are first used; any version of Debian's will do.
# hadolint ignore=DL3008
RUN if [ "${TORCH}" != cpu ]; then \
        apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
        && rm -rf /var/lib/apt/lists/*; \
    fi
# The home is any user's, so that --user goes: what is downloaded and compiled is kept there.
RUN useradd --uid 1000 --home-dir /home/netwarp --no-create-home netwarp && install --directory --mode 1777 /home/netwarp
COPY --from=libraries /opt/netwarp /opt/netwarp
RUN --mount=from=uv,source=/usr/local/bin/uv,target=/usr/local/bin/uv --mount=from=wheel,source=/dist,target=/dist \
    VIRTUAL_ENV=/opt/netwarp uv pip install --no-cache --no-deps /dist/*.whl
ENV HOME=/home/netwarp PATH=/opt/netwarp/bin:$PATH
USER 1000
WORKDIR /data
EXPOSE 8765
ENTRYPOINT ["netwarp"]
CMD ["--help"]
