"""How a caller reaches the registry, and what its calls may take."""

from __future__ import annotations

import os
from dataclasses import dataclass

import grpc

from registrar.channel import endpoint_of
from registrar.retry import RetryPolicy
from registrar.tls import credentials_of_environment
from registrar.tokens import TokenCallable, Tokens, tokens_of

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
    tokens: Tokens | None = None
    """What calls show; None: nothing."""


def resolve_settings(
    target: str | None,
    *,
    tenant: str | None,
    timeout_seconds: float,
    connect_timeout_seconds: float,
    retry: RetryPolicy | None,
    credentials: grpc.ChannelCredentials | None,
    token: str | TokenCallable | None,
) -> Settings:
    """The settings with what was left out: from the environment, from the credentials file, or by default.

    Errors: see `connect`.
    """
    target = target_of(target)
    credentials = credentials or credentials_of_environment()
    return Settings(
        target=target,
        tenant=tenant if tenant is not None else os.environ.get("REGISTRAR_TENANT", ""),
        timeout_seconds=timeout_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
        retry=retry or RetryPolicy(),
        credentials=credentials,
        tokens=_tokens(token, endpoint_of(target, credentials).address),
    )


def target_of(target: str | None) -> str:
    """Where the registry is: as given, as REGISTRAR_SERVER says, or by default."""
    return target or os.environ.get("REGISTRAR_SERVER") or DEFAULT_TARGET


def _tokens(token: str | TokenCallable | None, address: str) -> Tokens | None:
    if token is None:
        token = os.environ.get("REGISTRAR_TOKEN") or None
    if token is not None:
        return tokens_of(token)
    from registrar.logins import tokens_of_login

    return tokens_of_login(address)
