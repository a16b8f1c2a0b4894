"""What is to be known of an identity provider."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`issuer` is the provider's URL, letter for letter as it names itself; http on loopback only.

    A claim is named as it stands in the token, or by the path to it with dots between (`realm_access.roles`).
    `ca_file` is a PEM file of who signed the provider's certificate, in place of the system's.
    """

    issuer: str
    audience: str
    actor_claim: str = "sub"
    groups_claim: str = "groups"
    tenant_claim: str = ""
    clock_skew_seconds: int = 30
    ca_file: str = ""
