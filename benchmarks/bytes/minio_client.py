"""The MinIO client, straight to the store: `fput_object` and `fget_object`, several files at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from minio import Minio

from benchmarks.bytes.cases import paths_below

_FILES_AT_ONCE = 4


class MinioMover:
    """See `Mover`. Parts, their number at once and digests are what the MinIO client chooses."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str, region: str, bucket: str) -> None:
        self._client = Minio(endpoint, access_key, secret_key, secure=False, region=region)
        self._bucket = bucket
        self._names: list[str] = []

    def up(self, folder: Path) -> None:
        prefix = secrets.token_hex(8)
        named = [(f"{prefix}/{path.relative_to(folder)}", path) for path in paths_below(folder)]
        _each(partial(self._client.fput_object, self._bucket, name, str(path)) for name, path in named)
        self._names = [name for name, _ in named]

    def down(self, destination: Path) -> None:
        targets = [(name, destination / name.partition("/")[2]) for name in self._names]
        _each(partial(self._client.fget_object, self._bucket, name, str(target)) for name, target in targets)


def _each(calls: Iterable[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(_FILES_AT_ONCE) as threads:
        for future in [threads.submit(call) for call in calls]:
            future.result()
