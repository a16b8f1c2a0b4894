"""The artifact proxy of an MLflow server (`mlflow-artifacts:`): list directories, stream files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from mlflow.utils import credentials, rest_utils

from registrar_server.adapters.mlflow.errors import translated
from registrar_server.adapters.mlflow.paths import check_relative_path, source_not_allowed
from registrar_server.application.ports.bundle_store import ObjectReader
from registrar_server.domain.errors import Reason, RegistrarError

BLOCK_BYTES = 1 << 20
MAX_DEPTH = 64
"""Directories below one another: a server that answers every question with a directory must not hold us for ever."""

# MLflow has no types here.
_credentials: Any = credentials
_rest: Any = rest_utils

_ENDPOINT = "/api/2.0/mlflow-artifacts/artifacts"


class ArtifactProxy:
    """Reads through the tracking server, in the workspace of the calling context. Thread-safe."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri

    def serves(self, host_and_port: str) -> bool:
        """Whether an address `mlflow-artifacts://<this>/…` is this very server; one without a host always is."""
        return host_and_port in {"", urlsplit(self._uri).netloc.rpartition("@")[2]}

    def list_files(self, path: str) -> Iterator[tuple[str, int]]:
        """Path below `path` and size of every file; one file with an empty path when `path` is a file itself."""
        # The parent is asked: for a file MLflow answers an empty list or the file itself, depending on its store.
        parent, name = posixpath.split(path)
        entry = next((entry for entry in self._list_directory(parent) if entry["path"] == name), None)
        if entry is None:
            return
        if entry.get("is_dir"):
            yield from self._list_below(path, "", 0)
        else:
            yield "", int(entry.get("file_size", 0))

    @contextmanager
    def open_file(self, path: str, size_bytes: int) -> Iterator[ObjectReader]:
        """Stream a file that has `size_bytes`; ARTIFACT_FILE_NOT_FOUND when it is gone."""
        with translated("open_run_file", absent=Reason.ARTIFACT_FILE_NOT_FOUND):
            # Identity: sizes are compared, and a compressed stream would be inflated without a bound.
            headers = {"Accept-Encoding": "identity"}
            response = self._get(f"{_ENDPOINT}/{quote(path)}", extra_headers=headers, stream=True)
            if response.status_code == 404:
                response.close()
                raise RegistrarError(Reason.ARTIFACT_FILE_NOT_FOUND, "MLflow no longer has this file")
            if response.status_code != 200:
                response.close()
                raise RegistrarError(Reason.MLFLOW_UNAVAILABLE, "MLflow does not give this file out")
        try:
            yield _ProxiedFile(response, size_bytes)
        finally:
            response.close()

    def _list_below(self, path: str, below: str, depth: int) -> Iterator[tuple[str, int]]:
        if depth > MAX_DEPTH:
            raise source_not_allowed(f"the artifact has directories deeper than {MAX_DEPTH}")
        for entry in self._list_directory(posixpath.join(path, below) if below else path):
            entry_path = posixpath.join(below, entry["path"])
            if entry.get("is_dir"):
                yield from self._list_below(path, entry_path, depth + 1)
            else:
                yield entry_path, int(entry.get("file_size", 0))

    def _list_directory(self, path: str) -> list[dict[str, Any]]:
        response = self._get(_ENDPOINT, params={"path": path} if path else {})
        if response.status_code == 404:
            return []
        entries: list[dict[str, Any]] = _rest.verify_rest_response(response, _ENDPOINT).json().get("files", [])
        for entry in entries:
            if "/" in check_relative_path(entry["path"]):
                raise source_not_allowed("MLflow's proxy listed a name that is no name")
        return entries

    def _get(self, endpoint: str, **options: Any) -> Any:
        return _rest.http_request(_credentials.get_default_host_creds(self._uri), endpoint, "GET", **options)


class _ProxiedFile:
    """Bytes of one response; ends with an error unless they are exactly as many as were listed."""

    def __init__(self, response: Any, size_bytes: int) -> None:
        self._response = response
        self._size_bytes = size_bytes

    def __iter__(self) -> Iterator[bytes]:
        received_bytes = 0
        with translated("read_run_file"):
            for block in self._response.iter_content(BLOCK_BYTES):
                received_bytes += len(block)
                if received_bytes > self._size_bytes:
                    break
                yield block
        if received_bytes != self._size_bytes:
            raise RegistrarError(Reason.ARTIFACT_CORRUPT, "MLflow's proxy sent another number of bytes than it listed")
