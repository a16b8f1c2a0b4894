"""What a channel to the registry is made of, whichever of gRPC's two interfaces opens it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import grpc

from registrar.errors import InvalidArgument

MESSAGE_BYTES = 16 << 20
"""What an answer may have: 20,000 files of a bundle fit in a page or two."""

PLAINTEXT_VARIABLE = "REGISTRAR_ALLOW_PLAINTEXT_NETWORK"
"""When true, tokens are sent over networks without TLS: for where something else encrypts, such as a service mesh."""

Options = tuple[tuple[str, int | str], ...]

_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?")
_OPTIONS: Options = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # 16 KiB is what the server takes too; gRPC's own 8 KiB would cut off long lists of violations.
    ("grpc.max_metadata_size", 16 << 10),
    # A ping a minute finds a dead peer behind a firewall; servers that allow one every 30 s do not mind.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A restart of the server is a matter of seconds: gRPC's own pause grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Connections of our own, so that two registries do not share (and close) one.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address as gRPC takes it, the credentials for it (None: no TLS), and the channel's options."""

    address: str
    credentials: grpc.ChannelCredentials | None
    options: Options


def endpoint_of(target: str, credentials: grpc.ChannelCredentials | None) -> Endpoint:
    """How to reach `host:port`; `grpcs://` or `https://` in front means TLS, as do credentials."""
    scheme, separator, address = target.partition("://")
    if not separator:
        scheme, address = "", target
    if scheme in ("grpcs", "https"):
        credentials = credentials or grpc.ssl_channel_credentials()
    elif scheme in ("grpc", "http"):
        scheme = ""
    elif scheme:
        address = target
    if scheme in ("grpcs", "https") and not re.search(r":[0-9]+$", address):
        address += ":443"
    options = _OPTIONS
    if _LOOPBACK.fullmatch(address):
        # A proxy that the shell names for the world outside does not lead back here.
        options = (*options, ("grpc.enable_http_proxy", 0))
    return Endpoint(address, credentials, options)


def check_private(endpoint: Endpoint) -> None:
    """Refuse to send a token where others could read it on its way. Errors: InvalidArgument INSECURE_CHANNEL."""
    is_local = _LOOPBACK.fullmatch(endpoint.address) or endpoint.address.startswith(("unix:", "unix-abstract:"))
    if endpoint.credentials is not None or is_local:
        return
    if os.environ.get(PLAINTEXT_VARIABLE, "").lower() not in {"true", "1"}:
        raise InvalidArgument(
            f"a token is not sent to {endpoint.address} without TLS, where others could read it",
            reason="INSECURE_CHANNEL",
        )


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """A channel for calls that wait."""
    if endpoint.credentials is not None:
        return grpc.secure_channel(endpoint.address, endpoint.credentials, options=endpoint.options)
    return grpc.insecure_channel(endpoint.address, options=endpoint.options)
