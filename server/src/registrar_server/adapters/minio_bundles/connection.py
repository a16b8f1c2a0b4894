"""A minio client for one store: where it is, who asks, and bodies that are not hashed a second time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
)

from registrar_server.adapters.minio_bundles.http import PartBody

_AWS_ENDPOINT: Final = "s3.amazonaws.com"


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where the store is. `endpoint_url` None is AWS; keys None: environment, ~/.aws, then the machine's role."""

    endpoint_url: str | None
    bucket: str
    access_key: str | None
    secret_key: str | None
    region: str | None


def connect(address: S3Address, pool: urllib3.PoolManager) -> Minio:
    """A client that sends through that pool. Makes no request. ValueError for an address that cannot be one."""
    host, is_secure = host_of(address.endpoint_url)
    return _UnhashedMinio(
        endpoint=host,
        secure=is_secure,
        region=address.region,
        http_client=pool,
        credentials=None if address.access_key else _credential_chain(),
        access_key=address.access_key,
        secret_key=address.secret_key,
    )


class _UnhashedMinio(Minio):
    """minio, but a `PartBody` is sent as UNSIGNED-PAYLOAD: its sha256 was taken as it arrived."""

    def _build_headers(
        self,
        host: str,
        headers: Any = None,
        body: Any = None,
        creds: Credentials | None = None,
    ) -> tuple[dict[str, str | list[str] | tuple[str]], datetime]:
        if not isinstance(body, PartBody):
            return super()._build_headers(host, headers, body, creds)
        built, date = super()._build_headers(host, headers, None, creds)
        built["Content-Length"] = str(len(body))
        if creds:
            built["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        return built, date


def host_of(endpoint_url: str | None) -> tuple[str, bool]:
    """Host with port, and whether it speaks https. ValueError when it is no address of a server."""
    if endpoint_url is None:
        return _AWS_ENDPOINT, True
    parts = urlsplit(endpoint_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("endpoint_url must be http(s)://host[:port]")
    return parts.netloc, parts.scheme == "https"


def _credential_chain() -> Provider:
    # Off the cloud nothing answers at the metadata address, and minio's own pool would wait without end.
    metadata = urllib3.PoolManager(timeout=urllib3.Timeout(connect=1, read=5), retries=urllib3.Retry(total=1))
    return ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), IamAwsProvider(http_client=metadata)])
