"""How callers are known, as configured."""

from __future__ import annotations

import threading

from registrar_server.application.authentication import Authentication
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database
from registrar_server.application.ports.identity import TokenVerifier
from registrar_server.config import Config


def open_authentication(config: Config, database: Database, clock: Clock) -> Authentication:
    """The kinds of credentials that are configured; the identity provider's keys are fetched ahead."""
    verifier = _open_verifier(config) if config.oidc_issuer else None
    accepted = (
        *(("oidc",) if verifier is not None else ()),
        "token",
        *(("certificate",) if config.mtls_listen else ()),
    )
    return Authentication(database, clock, verifier, is_required=config.authentication == "required", accepted=accepted)


def _open_verifier(config: Config) -> TokenVerifier:
    # Imported where it is wanted: what verifies signatures is large.
    from registrar_server.adapters.oidc import OidcSettings, OidcVerifier

    settings = OidcSettings(
        issuer=config.oidc_issuer,
        audience=config.oidc_audience,
        actor_claim=config.oidc_actor_claim,
        groups_claim=config.oidc_groups_claim,
        tenant_claim=config.oidc_tenant_claim,
        clock_skew_seconds=config.oidc_clock_skew_seconds,
        ca_file=config.oidc_ca_file,
    )
    verifier = OidcVerifier(settings)
    # A provider that does not answer must not keep the server from starting.
    threading.Thread(target=verifier.warm, name="oidc", daemon=True).start()
    return verifier
