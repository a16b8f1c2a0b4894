"""From credentials to the caller that they stand for, with all that it may do.

What was found out is remembered: until the credentials end, until a role, binding, token or tenant changes anywhere
(the event tail tells), until the identity provider changes its keys, and for `_REMEMBERED_SECONDS` at most.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from registrar_server.application.authorization import tenant_not_found
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, ModelEvent
from registrar_server.application.ports.identity import Credentials, TokenVerifier
from registrar_server.domain.access import ALL_ACCESS, EVERYWHERE, Access, Caller, HeldRole
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.tenants import TenantState
from registrar_server.domain.values import DEFAULT_TENANT

TOKEN_PREFIX = "rgt_"  # noqa: S105  (how tokens begin, not one)
"""How API tokens begin, so that people and scanners know them."""

_REMEMBERED_SECONDS = 300.0
_CALLERS_REMEMBERED = 10_000
_CHARACTERS_REMEMBERED = 16_000_000
"""Of tokens, which may have 16,000 each; the groups that they name take as much again and more."""
_USE_SECONDS = 60.0

ANONYMOUS = Caller("anonymous", DEFAULT_TENANT)
_LOCAL = Caller("local", DEFAULT_TENANT, ALL_ACCESS)

_Key = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    token_id: str
    until: float
    changes: int
    keys: int


def token_digest(secret: str) -> str:
    """What is kept of a token's secret. It has 256 random bits, so that no salt and no slow function is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Authentication:
    """Thread-safe. Without `is_required`, who says nothing is the local user, who may do everything.

    `verifier` is for tokens of an identity provider; None: there is none. `accepted` names the kinds of credentials.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        verifier: TokenVerifier | None,
        *,
        is_required: bool,
        accepted: Sequence[str] = (),
    ) -> None:
        self._database = database
        self._clock = clock
        self._verifier = verifier
        self._is_required = is_required
        self._accepted = ",".join(accepted)
        self._known: dict[_Key, _Known] = {}
        self._characters = 0
        self._changes = 1
        self._unusable: tuple[int, Mapping[str, TenantState]] = (0, {})
        self._lock = Lock()
        self._used: set[str] = set()
        self._flushed = 0.0

    @property
    def changes(self) -> int:
        """Grows with everything that may change what a caller may do."""
        return self._changes

    def notice(self, events: Sequence[ModelEvent]) -> None:
        """Take events into account: those without a model's name change who may do what."""
        if any(not event.model.name for event in events):
            self.forget()

    def forget(self) -> None:
        """Find everything out anew."""
        with self._lock:
            self._changes += 1

    def authenticate(self, credentials: Credentials) -> Caller:
        """Who it is. CREDENTIALS_MISSING, CREDENTIALS_INVALID, CREDENTIALS_EXPIRED, IDENTITY_PROVIDER_UNAVAILABLE."""
        bearer = credentials.bearer
        if bearer:
            return self._remembered(bearer, credentials)
        if credentials.certificate_names:
            return self._remembered(tuple(credentials.certificate_names), credentials)
        if self._is_required:
            raise RegistrarError(
                Reason.CREDENTIALS_MISSING, "this call needs credentials", metadata={"accepted": self._accepted}
            )
        return _LOCAL

    def authenticate_again(self, credentials: Credentials, known: Caller) -> Caller:
        """Who it is while what it began goes on: that its credentials have ended since does not matter, all else does."""
        try:
            return self.authenticate(credentials)
        except RegistrarError as exc:
            if exc.reason is not Reason.CREDENTIALS_EXPIRED:
                raise
        if known.method == "token":
            return self._by_api_token(credentials.bearer, is_end_passed=True)[0]
        return self._by_identity(known.actor, known.groups, known.tenant, known.issue_time, known.expire_time)

    def require_usable(self, tenant: str) -> None:
        """TENANT_NOT_FOUND for a deleted tenant, TENANT_SUSPENDED for a suspended one."""
        state = self._unusable_tenants().get(tenant)
        if state is TenantState.DELETED:
            raise tenant_not_found(tenant)
        if state is TenantState.SUSPENDED:
            raise RegistrarError(Reason.TENANT_SUSPENDED, f"tenant {tenant} is suspended", metadata={"tenant": tenant})

    def is_deleted(self, tenant: str) -> bool:
        """Whether the tenant is deleted."""
        return self._unusable_tenants().get(tenant) is TenantState.DELETED

    def flush_uses(self) -> None:
        """Write down which tokens were used, once a minute at most; to be called now and then."""
        now = time.monotonic()
        if not self._used or now - self._flushed < _USE_SECONDS:
            return
        self._flushed = now
        used, self._used = self._used, set()
        with self._database.writing() as transaction:
            transaction.access.note_uses(sorted(used), time=self._clock.now())

    def _remembered(self, key: _Key, credentials: Credentials) -> Caller:
        changes, keys = self._changes, self._verifier.generation if self._verifier else 0
        known = self._known.get(key)
        if known is None or known.changes != changes or known.keys != keys or known.until <= time.time():
            known = self._find_out(credentials, changes, keys)
            if len(self._known) >= _CALLERS_REMEMBERED or self._characters >= _CHARACTERS_REMEMBERED:
                self._known.clear()
                self._characters = 0
            self._known[key] = known
            self._characters += len(credentials.bearer)
        if known.token_id:
            self._used.add(known.token_id)
        return known.caller

    def _find_out(self, credentials: Credentials, changes: int, keys: int) -> _Known:
        if not credentials.bearer:
            caller, token_id = self._by_certificate(credentials.certificate_names), ""
        elif credentials.bearer.startswith(TOKEN_PREFIX):
            caller, token_id = self._by_api_token(credentials.bearer)
        else:
            caller, token_id = self._by_jwt(credentials.bearer), ""
        ends = [one.expire_time for one in caller.access.held if one.expire_time is not None]
        ends += [caller.expire_time] if caller.expire_time is not None else []
        until = min([time.time() + _REMEMBERED_SECONDS, *(end.timestamp() for end in ends)])
        return _Known(caller, token_id, until, changes, keys)

    def _by_api_token(self, secret: str, *, is_end_passed: bool = False) -> tuple[Caller, str]:
        now = self._clock.now()
        with self._database.reading() as transaction:
            token = transaction.access.find_token_by_digest(token_digest(secret))
            role = transaction.access.find_role(token.tenant, token.role) if token is not None else None
        if token is None or token.revoke_time is not None:
            raise _invalid("the token is not known, or was revoked")
        if token.expire_time <= now and not is_end_passed:
            raise _expired("the token has ended")
        held = [HeldRole(token.tenant, role.name, role.grants, token.models)] if role is not None else []
        access = Access(held)
        caller = Caller(f"service:{token.name}", _home(access, ""), access, "token", expire_time=token.expire_time)
        return caller, token.id

    def _by_jwt(self, token: str) -> Caller:
        if self._verifier is None:
            raise _invalid("tokens of identity providers are not accepted here")
        identity = self._verifier.verify(token)
        return self._by_identity(
            f"user:{identity.name}", identity.groups, identity.tenant, identity.issue_time, identity.expire_time
        )

    def _by_identity(
        self,
        member: str,
        groups: tuple[str, ...],
        tenant: str,
        issue_time: datetime | None,
        expire_time: datetime | None,
    ) -> Caller:
        with self._database.reading() as transaction:
            not_before = transaction.access.sessions_not_before(member)
            members = [member, *(f"group:{group}" for group in groups)]
            held = transaction.access.held_by(members, now=self._clock.now())
        # Issue times are whole seconds: one of the second of the revocation may be older than that.
        if not_before is not None and issue_time is not None and issue_time <= not_before:
            raise _invalid("the token was revoked")
        access = Access(held)
        return Caller(member, _home(access, tenant), access, "oidc", groups, issue_time, expire_time)

    def _by_certificate(self, names: Sequence[str]) -> Caller:
        """The first name is the actor; what any of them is bound to counts."""
        members = [f"certificate:{name}" for name in names]
        with self._database.reading() as transaction:
            access = Access(transaction.access.held_by(members, now=self._clock.now()))
        return Caller(members[0], _home(access, ""), access, "certificate")

    def _unusable_tenants(self) -> Mapping[str, TenantState]:
        changes, unusable = self._unusable
        if changes != self._changes:
            changes = self._changes
            with self._database.reading() as transaction:
                unusable = transaction.tenants.unusable()
            self._unusable = changes, unusable
        return unusable


def _home(access: Access, claimed: str) -> str:
    """The tenant that a caller speaks for: what its token says, else the only one where it has a role.

    Not for who has roles in all tenants: whoever administers any one of them could draw its calls there by a binding.
    """
    tenants = access.tenants
    return claimed or (tenants[0] if len(tenants) == 1 and not access.sees(EVERYWHERE) else DEFAULT_TENANT)


def _invalid(why: str) -> RegistrarError:
    return RegistrarError(Reason.CREDENTIALS_INVALID, why)


def _expired(why: str) -> RegistrarError:
    return RegistrarError(Reason.CREDENTIALS_EXPIRED, why)
