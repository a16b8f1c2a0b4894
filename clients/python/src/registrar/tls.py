"""Certificates for connections, read from files."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from registrar.errors import InvalidArgument

if TYPE_CHECKING:
    import grpc

CA_VARIABLE = "REGISTRAR_CA"
CERTIFICATE_VARIABLE = "REGISTRAR_CLIENT_CERTIFICATE"
KEY_VARIABLE = "REGISTRAR_CLIENT_KEY"

AnyPath = str | PathLike[str]


def tls_credentials(
    *, ca: AnyPath | None = None, certificate: AnyPath | None = None, key: AnyPath | None = None
) -> grpc.ChannelCredentials:
    """Credentials for `connect`, of files in PEM.

    `ca`: certificates of who may have signed the server's; None: those that gRPC brings along. `certificate` (with what
    leads to its root behind it) and `key`: what this client shows, both or neither.
    Errors: InvalidArgument TLS_FILE_UNREADABLE, TLS_FILE_INVALID, INVALID_FIELD.
    """
    import grpc

    if (certificate is None) != (key is None):
        raise InvalidArgument("a client's certificate and its key are given together", reason="INVALID_FIELD")
    return grpc.ssl_channel_credentials(
        root_certificates=None if ca is None else read_pem(ca, "CERTIFICATE"),
        private_key=None if key is None else read_pem(key, "PRIVATE KEY"),
        certificate_chain=None if certificate is None else read_pem(certificate, "CERTIFICATE"),
    )


def credentials_of_environment() -> grpc.ChannelCredentials | None:
    """What REGISTRAR_CA, REGISTRAR_CLIENT_CERTIFICATE and REGISTRAR_CLIENT_KEY name; None: they are not set."""
    ca, certificate, key = (os.environ.get(name) or None for name in (CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE))
    if ca is None and certificate is None and key is None:
        return None
    return tls_credentials(ca=ca, certificate=certificate, key=key)


def read_pem(path: AnyPath, kind: str) -> bytes:
    """A file's content, which has to hold a block of that kind. Errors: see `tls_credentials`."""
    try:
        content = Path(path).read_bytes()
    except OSError as exc:
        raise InvalidArgument(
            f"{os.fspath(path)} cannot be read: {exc.strerror}", reason="TLS_FILE_UNREADABLE"
        ) from exc
    if b"-----BEGIN " not in content or f"{kind}-----".encode() not in content:
        raise InvalidArgument(f"{os.fspath(path)} has no {kind} in PEM", reason="TLS_FILE_INVALID")
    return content
