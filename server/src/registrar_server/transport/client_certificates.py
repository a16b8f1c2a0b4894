"""Who a client certificate is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import cast

import grpc

from registrar_server.application.ports.clock import Clock, SystemClock
from registrar_server.domain.errors import Reason, RegistrarError

_CLOCK: Clock = SystemClock()
_AuthContext = dict[str, Sequence[bytes]]


def certificate_names(context: grpc.ServicerContext) -> Sequence[str]:
    """Subject alternative names of the caller's certificate that TLS has verified: URIs, then DNS names, then mails.

    None where the connection has no certificate. CREDENTIALS_INVALID for one without such a name, CREDENTIALS_EXPIRED
    for one that has ended since the connection was opened.
    """
    # All of it is what the handshake has found; nothing that a caller sends with a call gets in here.
    known = cast("_AuthContext", context.auth_context())
    pem = known.get("x509_pem_cert")
    if not pem:
        return ()
    if _end_of(pem[0]) <= _CLOCK.now():
        raise RegistrarError(Reason.CREDENTIALS_EXPIRED, "the client certificate has expired")
    names = [name.decode() for key in ("peer_uri", "peer_dns", "peer_email") for name in known.get(key, ())]
    if not names:
        raise RegistrarError(
            Reason.CREDENTIALS_INVALID,
            "the client certificate names nobody: it has no subject alternative name that is a URI, a DNS name or a mail",
        )
    return names


@lru_cache(maxsize=1024)
def _end_of(pem: bytes) -> datetime:
    # With it come 9 MB and 0.1 s, which a server without client certificates saves.
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem).not_valid_after_utc
