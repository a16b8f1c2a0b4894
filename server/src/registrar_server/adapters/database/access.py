"""Statements about who may do what: roles, their bindings, tokens, sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from registrar_server.adapters.database.documents import dump_grants, load_grants
from registrar_server.adapters.database.many import chunks
from registrar_server.adapters.database.tables import Timestamp, api_tokens, role_bindings, roles, session_cutoffs
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.application.ports.database.access import ApiToken, RoleBinding
from registrar_server.domain.access import BUILT_IN_ROLES, EVERYWHERE, HeldRole, NamePattern, Role

_BOUND = ("tenant", "role", "member", "model_pattern")


class SqlAccess:
    """The port `AccessRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def held_by(self, members: Sequence[str], *, now: datetime) -> Sequence[HeldRole]:
        """See the port."""
        own, shared = roles.alias("own"), roles.alias("shared")
        query = (
            select(role_bindings, own.c.grants, shared.c.grants.label("shared_grants"))
            .outerjoin(own, and_(own.c.tenant == role_bindings.c.tenant, own.c.name == role_bindings.c.role))
            .outerjoin(shared, and_(shared.c.tenant == EVERYWHERE, shared.c.name == role_bindings.c.role))
            .where(_is_living(now))
        )
        held = (
            _to_held(row)
            for some in chunks(sorted(set(members)))
            for row in self._connection.execute(query.where(role_bindings.c.member.in_(some)))
        )
        return [one for one in held if one is not None]

    def find_role(self, tenant: str, name: str) -> Role | None:
        """See the port."""
        return self._role(tenant, name, is_locked=False)

    def lock_role(self, tenant: str, name: str) -> Role | None:
        """See the port."""
        return self._role(tenant, name, is_locked=True)

    def list_roles(self, tenant: str, *, after: str, limit: int) -> Sequence[Role]:
        """See the port."""
        query = select(roles).where(roles.c.tenant == tenant, roles.c.name > after)
        return [_to_role(row) for row in self._connection.execute(query.order_by(roles.c.name).limit(limit))]

    def insert_role(self, role: Role) -> bool:
        """See the port."""
        statement = insert_for(self._connection, roles).values(
            tenant=role.tenant,
            name=role.name,
            description=role.description,
            grants=dump_grants(role.grants),
            revision=role.revision,
            created_at=role.create_time,
            updated_at=role.update_time,
        )
        statement = statement.on_conflict_do_nothing(index_elements=["tenant", "name"])
        return self._connection.execute(statement).rowcount == 1

    def update_role(self, role: Role) -> None:
        """See the port."""
        statement = update(roles).where(roles.c.tenant == role.tenant, roles.c.name == role.name)
        self._connection.execute(
            statement.values(
                description=role.description,
                grants=dump_grants(role.grants),
                revision=roles.c.revision + 1,
                updated_at=role.update_time,
            )
        )

    def delete_role(self, tenant: str, name: str) -> None:
        """See the port."""
        self._connection.execute(delete(roles).where(roles.c.tenant == tenant, roles.c.name == name))

    def count_uses(self, tenant: str, role: str, *, now: datetime) -> tuple[int, int]:
        """See the port. A tenant that has a role of that name itself does not use that of all tenants."""
        bindings = and_(role_bindings.c.role == role, _is_living(now))
        tokens = and_(api_tokens.c.role == role, api_tokens.c.expires_at > now, api_tokens.c.revoked_at.is_(None))
        counts = (
            select(func.count()).select_from(table).where(living, _is_meant(table.c.tenant, tenant, role))
            for table, living in ((role_bindings, bindings), (api_tokens, tokens))
        )
        found = self._connection.execute(select(*[count.scalar_subquery() for count in counts])).one()
        return int(found[0]), int(found[1])

    def bind(self, binding: RoleBinding) -> RoleBinding:
        """See the port."""
        statement = insert_for(self._connection, role_bindings).values(
            id=binding.id,
            tenant=binding.tenant,
            role=binding.role,
            member=binding.member,
            model_pattern=binding.models.text,
            expires_at=binding.expire_time,
            comment=binding.comment,
            created_by=binding.created_by,
            created_at=binding.create_time,
        )
        statement = statement.on_conflict_do_update(
            index_elements=list(_BOUND), set_={"expires_at": binding.expire_time, "comment": binding.comment}
        )
        return _to_binding(self._connection.execute(statement.returning(*role_bindings.c)).one())

    def find_bound(self, binding: RoleBinding) -> RoleBinding | None:
        """See the port."""
        wanted = (binding.tenant, binding.role, binding.member, binding.models.text)
        is_same = [role_bindings.c[name] == value for name, value in zip(_BOUND, wanted, strict=True)]
        row = self._connection.execute(select(role_bindings).where(*is_same)).first()
        return None if row is None else _to_binding(row)

    def find_binding(self, tenant: str, binding_id: str) -> RoleBinding | None:
        """See the port."""
        query = select(role_bindings).where(role_bindings.c.tenant == tenant, role_bindings.c.id == binding_id)
        row = self._connection.execute(query).first()
        return None if row is None else _to_binding(row)

    def list_bindings(
        self, tenant: str, *, member: str, role: str, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[RoleBinding]:
        """See the port."""
        query = select(role_bindings).where(role_bindings.c.tenant == tenant)
        if member:
            query = query.where(role_bindings.c.member == member)
        if role:
            query = query.where(role_bindings.c.role == role)
        if after is not None:
            query = query.where(_is_after(role_bindings.c.created_at, role_bindings.c.id, after))
        query = query.order_by(role_bindings.c.created_at, role_bindings.c.id).limit(limit)
        return [_to_binding(row) for row in self._connection.execute(query)]

    def unbind(self, binding_id: str) -> bool:
        """See the port."""
        statement = delete(role_bindings).where(role_bindings.c.id == binding_id)
        return self._connection.execute(statement).rowcount == 1

    def insert_token(self, token: ApiToken, digest: str) -> None:
        """See the port."""
        self._connection.execute(
            insert(api_tokens).values(
                id=token.id,
                tenant=token.tenant,
                name=token.name,
                role=token.role,
                model_pattern=token.models.text,
                description=token.description,
                digest=digest,
                expires_at=token.expire_time,
                revoked_at=token.revoke_time,
                created_by=token.created_by,
                created_at=token.create_time,
                last_used_at=token.last_use_time,
            )
        )

    def find_token_by_digest(self, digest: str) -> ApiToken | None:
        """See the port."""
        row = self._connection.execute(select(api_tokens).where(api_tokens.c.digest == digest)).first()
        return None if row is None else _to_token(row)

    def find_token(self, tenant: str, token_id: str) -> ApiToken | None:
        """See the port."""
        query = select(api_tokens).where(api_tokens.c.tenant == tenant, api_tokens.c.id == token_id)
        row = self._connection.execute(query).first()
        return None if row is None else _to_token(row)

    def list_tokens(
        self, tenant: str, *, is_ended_shown: bool, now: datetime, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ApiToken]:
        """See the port."""
        query = select(api_tokens).where(api_tokens.c.tenant == tenant)
        if not is_ended_shown:
            query = query.where(api_tokens.c.revoked_at.is_(None), api_tokens.c.expires_at > now)
        if after is not None:
            query = query.where(_is_after(api_tokens.c.created_at, api_tokens.c.id, after))
        query = query.order_by(api_tokens.c.created_at, api_tokens.c.id).limit(limit)
        return [_to_token(row) for row in self._connection.execute(query)]

    def revoke_token(self, token_id: str, *, time: datetime) -> bool:
        """See the port."""
        statement = update(api_tokens).where(api_tokens.c.id == token_id, api_tokens.c.revoked_at.is_(None))
        return self._connection.execute(statement.values(revoked_at=time)).rowcount == 1

    def note_uses(self, token_ids: Sequence[str], *, time: datetime) -> None:
        """See the port."""
        is_older = or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at < time)
        # In one order, so that two processes never wait for each other.
        for ids in chunks(sorted(token_ids)):
            statement = update(api_tokens).where(api_tokens.c.id.in_(ids), is_older)
            self._connection.execute(statement.values(last_used_at=time))

    def cut_sessions(self, member: str, *, not_before: datetime) -> None:
        """See the port."""
        is_later = session_cutoffs.c.not_before < not_before
        latest = case((is_later, literal(not_before, Timestamp)), else_=session_cutoffs.c.not_before)
        statement = insert_for(self._connection, session_cutoffs).values(member=member, not_before=not_before)
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["member"], set_={"not_before": latest})
        )

    def sessions_not_before(self, member: str) -> datetime | None:
        """See the port."""
        query = select(session_cutoffs.c.not_before).where(session_cutoffs.c.member == member)
        found: datetime | None = self._connection.execute(query).scalar()
        return found

    def _role(self, tenant: str, name: str, *, is_locked: bool) -> Role | None:
        for where in dict.fromkeys((tenant, EVERYWHERE)):
            query = select(roles).where(roles.c.tenant == where, roles.c.name == name)
            row = self._connection.execute(query.with_for_update() if is_locked else query).first()
            if row is not None:
                return _to_role(row)
        return BUILT_IN_ROLES.get(name)


def _is_living(now: datetime) -> ColumnElement[bool]:
    return or_(role_bindings.c.expires_at.is_(None), role_bindings.c.expires_at > now)


def _is_meant(where: ColumnElement[str], tenant: str, role: str) -> ColumnElement[bool]:
    """Whether who names the role in a tenant means the role of `tenant`."""
    if tenant != EVERYWHERE:
        return where == tenant
    return or_(where == EVERYWHERE, ~exists().where(roles.c.tenant == where, roles.c.name == role))


def _is_after(
    time: ColumnElement[datetime], uid: ColumnElement[str], after: tuple[datetime, str]
) -> ColumnElement[bool]:
    return tuple_(time, uid) > tuple_(literal(after[0], Timestamp), literal(after[1]))


def _to_held(row: Row[Any]) -> HeldRole | None:
    """None where there is no such role any more."""
    text = row.grants or row.shared_grants
    if text:
        grants = load_grants(text)
    elif row.role in BUILT_IN_ROLES:
        grants = BUILT_IN_ROLES[row.role].grants
    else:
        return None
    return HeldRole(row.tenant, row.role, grants, NamePattern(row.model_pattern), row.expires_at)


def _to_role(row: Row[Any]) -> Role:
    return Role(
        tenant=row.tenant,
        name=row.name,
        description=row.description,
        grants=load_grants(row.grants),
        revision=row.revision,
        create_time=row.created_at,
        update_time=row.updated_at,
    )


def _to_binding(row: Row[Any]) -> RoleBinding:
    return RoleBinding(
        id=row.id,
        tenant=row.tenant,
        role=row.role,
        member=row.member,
        models=NamePattern(row.model_pattern),
        expire_time=row.expires_at,
        comment=row.comment,
        created_by=row.created_by,
        create_time=row.created_at,
    )


def _to_token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        role=row.role,
        models=NamePattern(row.model_pattern),
        description=row.description,
        expire_time=row.expires_at,
        revoke_time=row.revoked_at,
        created_by=row.created_by,
        create_time=row.created_at,
        last_use_time=row.last_used_at,
    )
