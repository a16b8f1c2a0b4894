"""Who a client certificate is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import cast

import grpc

from registrar_server.application.ports.clock import Clock, SystemClock
from registrar_server.domain.access import MEMBER
from registrar_server.domain.errors import Reason, RegistrarError

_CLOCK: Clock = SystemClock()
_AuthContext = dict[str, Sequence[bytes]]


def certificate_names(context: grpc.ServicerContext) -> Sequence[str]:
    """Subject alternative names of the caller's certificate that TLS has verified: URIs, then DNS names, then mails.

    None where the connection has no certificate. CREDENTIALS_INVALID for one without such a name, CREDENTIALS_EXPIRED
    for one that has ended since the connection was opened.
    """
    # What the handshake has found; nothing that a caller sends with a call gets in here. Its names are read from the
    # certificate itself: gRPC ends them at the first NUL, so that `a\0.example.com` would be `a`.
    pem = cast("_AuthContext", context.auth_context()).get("x509_pem_cert")
    if not pem:
        return ()
    end, names = _read(pem[0])
    if end <= _CLOCK.now():
        raise RegistrarError(Reason.CREDENTIALS_EXPIRED, "the client certificate has expired")
    if not names:
        raise RegistrarError(
            Reason.CREDENTIALS_INVALID,
            "the client certificate names nobody: it has no subject alternative name that is a URI, a DNS name or a mail",
        )
    return names


@lru_cache(maxsize=1024)
def _read(pem: bytes) -> tuple[datetime, Sequence[str]]:
    """When it ends, and its names; those that nothing can be bound to are left out."""
    # With it come 9 MB and 0.1 s, which a server without client certificates saves.
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return certificate.not_valid_after_utc, ()
    kinds = (x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name)
    names = [name for kind in kinds for name in found.get_values_for_type(kind)]
    return certificate.not_valid_after_utc, tuple(filter(_is_name, names))


def _is_name(name: str) -> bool:
    return name.isprintable() and MEMBER.fullmatch(f"certificate:{name}") is not None
