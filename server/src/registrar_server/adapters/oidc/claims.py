"""What a verified token says: for whom it is, when it is valid, and who its bearer is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from registrar_server.adapters.oidc.settings import OidcSettings
from registrar_server.application.ports.identity import TokenIdentity
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import TENANT_NAME

_NAME_CHARACTERS: Final = 200
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def invalid(problem: str) -> RegistrarError:
    """CREDENTIALS_INVALID. `problem` is in words of ours; nothing of the token may be in it."""
    return RegistrarError(Reason.CREDENTIALS_INVALID, f"the token is not valid here: {problem}")


def require_issuer(claims: Mapping[str, object], settings: OidcSettings) -> None:
    """CREDENTIALS_INVALID for a token of somebody else."""
    if claims.get("iss") != settings.issuer:
        raise invalid("iss names another issuer")


def read_identity(claims: Mapping[str, object], settings: OidcSettings, now: datetime) -> TokenIdentity:
    """Whom the token is about, if it is for this audience and valid now. CREDENTIALS_INVALID, CREDENTIALS_EXPIRED."""
    require_issuer(claims, settings)
    audience = claims.get("aud")
    if settings.audience not in (audience if isinstance(audience, list) else [audience]):
        raise invalid("aud names another audience")
    issue_time, expire_time = _times(claims, settings.clock_skew_seconds, now.timestamp())
    return TokenIdentity(
        name=_name(claims, settings.actor_claim, "the claim that names the actor"),
        groups=_groups(claims, settings.groups_claim),
        tenant=_tenant(claims, settings.tenant_claim),
        issue_time=issue_time,
        expire_time=expire_time,
    )


def _times(claims: Mapping[str, object], skew: int, now: float) -> tuple[datetime, datetime]:
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    begins = _time(claims, "nbf") if "nbf" in claims else issued
    if issued > now + skew:
        raise invalid("iat is in the future")
    if begins > now + skew:
        raise invalid("nbf is in the future")
    if expires <= now - skew:
        raise RegistrarError(Reason.CREDENTIALS_EXPIRED, "the token has expired")
    return datetime.fromtimestamp(issued, UTC), datetime.fromtimestamp(expires, UTC)


def _time(claims: Mapping[str, object], name: str) -> float:
    """Seconds since 1970; RFC 7519 allows fractions."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{name} is absent, or no time")
    if not 0 <= value <= _LATEST:
        raise invalid(f"{name} is no time")
    return float(value)


def _name(claims: Mapping[str, object], claim: str, what: str) -> str:
    value = _find(claims, claim)
    if not isinstance(value, str) or not _is_name(value) or len(value) > _NAME_CHARACTERS:
        raise invalid(f"{what} is absent, or no name of 1 to {_NAME_CHARACTERS} printable characters")
    return value


def _groups(claims: Mapping[str, object], claim: str) -> tuple[str, ...]:
    """Names that nothing can be bound to are left out."""
    value = _find(claims, claim) if claim else None
    listed = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise invalid("the claim that names groups is no list of names")
    return tuple(dict.fromkeys(one for one in listed if _is_name(one)))


def _tenant(claims: Mapping[str, object], claim: str) -> str:
    if not claim or _find(claims, claim) is None:
        return ""
    tenant = _name(claims, claim, "the claim that names the tenant")
    if not TENANT_NAME.fullmatch(tenant):
        raise invalid("the claim that names the tenant is no tenant's name")
    return tenant


def _find(claims: Mapping[str, object], claim: str) -> object:
    """A claim by its name, which may have dots (`https://example.com/groups`), or by the path to it; None if absent."""
    if claim in claims:
        return claims[claim]
    found: object = claims
    for part in claim.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and text == text.strip()
