# Denoises on a CPU, without PyTorch: docs/light.md.
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir -r /src/requirements-light.txt av
RUN pip install --no-cache-dir --no-deps /src && rm -rf /src
USER 1000
WORKDIR /data
ENTRYPOINT ["diffgmm"]
