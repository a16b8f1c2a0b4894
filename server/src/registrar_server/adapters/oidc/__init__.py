"""Tokens of an OpenID Connect provider, verified by the keys that it publishes."""

from registrar_server.adapters.oidc.settings import OidcSettings
from registrar_server.adapters.oidc.verifier import OidcVerifier

__all__ = ["OidcSettings", "OidcVerifier"]
