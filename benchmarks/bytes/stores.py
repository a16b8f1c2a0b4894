"""The stores that all peers of a trial share: SeaweedFS as the registry embeds it, MinIO's server, and the sink."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from minio import Minio

from benchmarks.process_tree import listener
from benchmarks.servers import minio_server, sink_server
from registrar_server.adapters.embedded_s3 import EmbeddedS3

MINIO_VARIABLE = "REGISTRAR_BENCHMARK_MINIO"
"""Names MinIO's server where it is not on PATH."""
REGION = "us-east-1"


@dataclass(frozen=True)
class Store:
    """A store that answers. `pid` is the root of its process tree."""

    kind: str
    endpoint: str
    access_key: str
    secret_key: str
    pid: int

    def client(self) -> Minio:
        """The MinIO client as its users get it."""
        return Minio(self.endpoint, self.access_key, self.secret_key, secure=False, region=REGION)

    def make_bucket(self, name: str) -> None:
        self.client().make_bucket(name)

    def environment(self, bucket: str) -> dict[str, str]:
        """What makes Registrar, MLflow and boto3 keep their files in a bucket of it."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": f"http://{self.endpoint}",
            "MLFLOW_ARTIFACT_ROOT": f"s3://{bucket}",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
        }


@dataclass(frozen=True)
class StoreKind:
    """A kind of store. One that does not keep its bytes takes uploads only."""

    name: str
    title: str
    keeps_bytes: bool = True


KINDS = (
    StoreKind("seaweedfs", "SeaweedFS"),
    StoreKind("minio", "MinIO's server"),
    StoreKind("sink", "the sink that discards", keeps_bytes=False),
)


def why_missing(kind: str) -> str:
    """Why there is no such store here; empty when there is."""
    if kind == "minio" and _minio_program() is None:
        return f"MinIO's server is not on PATH, nor does {MINIO_VARIABLE} name it"
    return ""


@contextmanager
def open_store(kind: str, directory: Path) -> Iterator[Store]:
    """A fresh store with its data below a directory, ended afterwards."""
    directory.mkdir(parents=True)
    match kind:
        case "seaweedfs":
            with _seaweedfs(directory) as store:
                yield store
        case "minio":
            program = _minio_program()
            if program is None:
                raise ValueError(why_missing(kind))
            keys = "benchmark", secrets.token_hex(16)
            with minio_server(program, directory, *keys) as server:
                yield Store(kind, server.address, *keys, server.pid)
        case "sink":
            with sink_server(directory) as server:
                yield Store(kind, server.address, "benchmark", "benchmark-secret", server.pid)
        case _:
            raise ValueError(f"there is no store {kind!r}")


@contextmanager
def _seaweedfs(directory: Path) -> Iterator[Store]:
    # It logs where it stands; what a benchmark prints is its tables.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    embedded = EmbeddedS3(directory)
    address = embedded.start()
    try:
        endpoint = address.endpoint_url.removeprefix("http://")
        pid = listener(os.getpid(), int(endpoint.rpartition(":")[2]))
        yield Store("seaweedfs", endpoint, address.access_key, address.secret_key, pid)
    finally:
        embedded.stop()


def _minio_program() -> Path | None:
    found = os.environ.get(MINIO_VARIABLE) or shutil.which("minio")
    return Path(found) if found else None
