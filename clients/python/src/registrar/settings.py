"""How a caller reaches the registry, and what its calls may take."""

from __future__ import annotations

import os
from dataclasses import dataclass

import grpc

from registrar.retry import RetryPolicy

DEFAULT_TARGET = "127.0.0.1:50051"


@dataclass(frozen=True, slots=True)
class Settings:
    """What `connect` was told. Times are in seconds."""

    target: str
    tenant: str
    timeout_seconds: float
    connect_timeout_seconds: float
    retry: RetryPolicy
    credentials: grpc.ChannelCredentials | None


def resolve_settings(
    target: str | None,
    *,
    tenant: str | None,
    timeout_seconds: float,
    connect_timeout_seconds: float,
    retry: RetryPolicy | None,
    credentials: grpc.ChannelCredentials | None,
) -> Settings:
    """The settings with what was left out: from the environment (REGISTRAR_SERVER, REGISTRAR_TENANT), or by default."""
    return Settings(
        target=target or os.environ.get("REGISTRAR_SERVER") or DEFAULT_TARGET,
        tenant=tenant if tenant is not None else os.environ.get("REGISTRAR_TENANT", ""),
        timeout_seconds=timeout_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
        retry=retry or RetryPolicy(),
        credentials=credentials,
    )
