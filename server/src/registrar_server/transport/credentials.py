"""What a call brings to say who it comes from."""

from __future__ import annotations

import re

import grpc

from registrar_server.application.ports.identity import Credentials
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.transport.calls import current_call
from registrar_server.transport.client_certificates import certificate_names

_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]{1,16384})")
_NOTHING = Credentials()


def read_credentials(context: grpc.ServicerContext) -> Credentials:
    """Of the current call: the bearer token, which comes first, or the names of its client certificate."""
    authorization = current_call.get().authorization
    if authorization:
        matched = _BEARER.fullmatch(authorization)
        if matched is None:
            raise RegistrarError(Reason.CREDENTIALS_INVALID, "`authorization` must be `Bearer` and a token, once")
        return Credentials(bearer=matched[1])
    names = certificate_names(context)
    return Credentials(certificate_names=names) if names else _NOTHING
