"""How callers say who they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a call. `bearer` is the token of `authorization: Bearer …`, empty when there is none.

    `certificate_names` are the subject alternative names of a client certificate that TLS has verified.
    """

    bearer: str = ""
    certificate_names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Who a verified token is about. `name` is the claim that names the actor, `tenant` empty where no claim says."""

    name: str
    groups: tuple[str, ...]
    tenant: str
    issue_time: datetime
    expire_time: datetime


class TokenVerifier(Protocol):
    """Verifies tokens of an identity provider. Thread-safe."""

    @property
    def generation(self) -> int:
        """Grows whenever the provider's keys have changed: what was verified before has to be verified again."""

    def verify(self, token: str) -> TokenIdentity:
        """Signature, issuer, audience and times.

        CREDENTIALS_INVALID, CREDENTIALS_EXPIRED; IDENTITY_PROVIDER_UNAVAILABLE when its keys cannot be had. No part of
        the token is in an error or a log.
        """
