# PyTorch for the CPU; for CUDA: docker build --build-arg TORCH_INDEX=https://pypi.org/simple -t vidsr .
# Run: docker run --rm -v "$PWD/films:/films" vidsr enhance /films/a.mp4
# Films that must not be touched: -v "$PWD/films:/films:ro" -v "$PWD/out:/out" vidsr enhance /films/a.mp4 -o /out
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv=3.11.* \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/vidsr
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN /opt/vidsr/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY vidsr vidsr
COPY models models
RUN /opt/vidsr/bin/pip install --no-cache-dir .

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg=7:5.1.* python3=3.11.* libgl1=1.* libglib2.0-0=2.74.* \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/vidsr /opt/vidsr
RUN useradd --create-home --uid 1000 vidsr
USER vidsr
WORKDIR /films
ENTRYPOINT ["/opt/vidsr/bin/vidsr"]
CMD ["--help"]
