"""Use cases about credentials: tokens of services, and sessions of people."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from registrar_server.application.administration.changes import (
    By,
    record,
    time_text,
    token_document,
)
from registrar_server.application.administration.roles import find_role
from registrar_server.application.authentication import TOKEN_PREFIX, token_digest
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.clock import Clock, new_uid
from registrar_server.application.ports.database import ApiToken, Database, Transaction
from registrar_server.application.resolution import require_tenant_or_all
from registrar_server.domain.access import EVERYWHERE, NamePattern
from registrar_server.domain.errors import Reason, RegistrarError

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class TokenChanged:
    """A token after a change, and the change's event; 0: nothing changed."""

    token: ApiToken
    sequence: int


@dataclass(frozen=True, slots=True)
class SessionsRevoked:
    """Up to when tokens of OIDC are refused, and the event."""

    not_before: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class NewToken:
    """What is wanted of a token."""

    tenant: str
    name: str
    role: str
    ttl_seconds: float
    models: NamePattern
    description: str = ""


class Tokens:
    """Makes and ends credentials. A tenant is a name, or EVERYWHERE."""

    def __init__(self, database: Database, mutations: Mutations, clock: Clock) -> None:
        self._database = database
        self._mutations = mutations
        self._clock = clock

    def create(self, mutation: Mutation[TokenChanged], wanted: NewToken) -> tuple[bytes, str]:
        """Make a token: the encoded answer, and its secret, which is empty in the answer to a repetition.

        The answer that is kept for repetitions knows no secret. ROLE_NOT_FOUND.
        """
        told: list[str] = []

        def action(transaction: Transaction, now: datetime) -> TokenChanged:
            changed, secret = make_token(transaction, By(mutation.caller, now, mutation.request_id), wanted)
            told.append(secret)
            return changed

        answer = self._mutations.run(mutation, action)
        return answer, "".join(told)

    def list(
        self, tenant: str, *, is_ended_shown: bool, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ApiToken]:
        """Tokens of exactly that tenant, the oldest first."""
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            return transaction.access.list_tokens(
                tenant, is_ended_shown=is_ended_shown, now=self._clock.now(), after=after, limit=limit
            )

    def revoke(self, mutation: Mutation[TokenChanged], tenant: str, token_id: str, *, comment: str) -> bytes:
        """End a token; nothing where it is revoked already. TOKEN_NOT_FOUND."""

        def action(transaction: Transaction, now: datetime) -> TokenChanged:
            require_tenant_or_all(transaction, tenant)
            token = transaction.access.find_token(tenant, token_id)
            if token is None:
                raise RegistrarError(Reason.TOKEN_NOT_FOUND, "there is no such token", metadata={"id": token_id})
            if not transaction.access.revoke_token(token_id, time=now):
                return TokenChanged(transaction.access.find_token(tenant, token_id) or token, 0)
            sequence = record(
                transaction,
                By(mutation.caller, now, mutation.request_id),
                "token.revoked",
                tenant,
                before=token_document(token),
                after={"id": token_id, "revoke_time": time_text(now)},
                comment=comment,
            )
            return TokenChanged(replace(token, revoke_time=now), sequence)

        return self._mutations.run(mutation, action)

    def revoke_sessions(self, mutation: Mutation[SessionsRevoked], member: str, *, comment: str) -> bytes:
        """Refuse every token of OIDC that was issued to a user up to now."""

        def action(transaction: Transaction, now: datetime) -> SessionsRevoked:
            transaction.access.cut_sessions(member, not_before=now)
            sequence = record(
                transaction,
                By(mutation.caller, now, mutation.request_id),
                "sessions.revoked",
                EVERYWHERE,
                after={"member": member, "not_before": time_text(now)},
                comment=comment,
            )
            return SessionsRevoked(now, sequence)

        return self._mutations.run(mutation, action)


def make_token(transaction: Transaction, by: By, wanted: NewToken) -> tuple[TokenChanged, str]:
    """Add a token and record it: the token, and its secret, of which only a digest is kept.

    TENANT_NOT_FOUND, ROLE_NOT_FOUND.
    """
    require_tenant_or_all(transaction, wanted.tenant)
    find_role(transaction, wanted.tenant, wanted.role, is_locked=True)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    token = ApiToken(
        id=new_uid(),
        tenant=wanted.tenant,
        name=wanted.name,
        role=wanted.role,
        models=wanted.models,
        description=wanted.description,
        expire_time=by.time + timedelta(seconds=wanted.ttl_seconds),
        revoke_time=None,
        created_by=by.caller.actor,
        create_time=by.time,
        last_use_time=None,
    )
    transaction.access.insert_token(token, token_digest(secret))
    sequence = record(transaction, by, "token.created", wanted.tenant, after=token_document(token))
    return TokenChanged(token, sequence), secret
