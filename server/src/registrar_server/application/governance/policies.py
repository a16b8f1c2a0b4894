"""Use cases about policies: written in revisions, none of which is ever changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.administration.changes import By, record
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.resolution import require_etag, require_tenant_or_all
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.policies import Policy, PolicyRules, PolicyScope
from registrar_server.domain.policy_documents import write_document
from registrar_server.domain.policy_validation import check_size
from registrar_server.domain.validation import checking


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """A policy after a change, and the change's event; 0: nothing changed."""

    policy: Policy
    sequence: int


@dataclass(frozen=True, slots=True)
class NewPolicy:
    """What a policy begins with."""

    tenant: str
    name: str
    description: str
    scope: PolicyScope
    rules: PolicyRules


@dataclass(frozen=True, slots=True)
class PolicyUpdate:
    """New values; None leaves as it is."""

    description: str | None = None
    scope: PolicyScope | None = None
    rules: PolicyRules | None = None


class Policies:
    """Creates, reads, changes and ends policies. A tenant is a name, or EVERYWHERE.

    A change takes its place among the moves: one that is committed after it obeys it, whichever process makes it.
    """

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def create(self, mutation: Mutation[PolicyChanged], new: NewPolicy, *, is_validate_only: bool = False) -> bytes:
        """Write the first revision; POLICY_EXISTS when the name was ever given."""

        def action(transaction: Transaction, now: datetime) -> PolicyChanged:
            require_tenant_or_all(transaction, new.tenant)
            transaction.policies.lock()
            if transaction.policies.get(new.tenant, new.name) is not None:
                raise RegistrarError(
                    Reason.POLICY_EXISTS,
                    f"there is, or was, a policy {new.name} already",
                    metadata={"policy": new.name, "tenant": new.tenant},
                )
            policy = Policy(
                tenant=new.tenant,
                name=new.name,
                revision=1,
                description=new.description,
                scope=new.scope,
                rules=new.rules,
                document=write_document(new.scope, new.rules),
                updated_by=mutation.caller.actor,
                create_time=now,
                update_time=now,
            )
            by = By(mutation.caller, now, mutation.request_id)
            sequence = record(transaction, by, "policy.created", new.tenant, after=_shown(policy))
            transaction.policies.add(policy, sequence)
            return PolicyChanged(policy, sequence)

        return self._mutations.run(mutation, action, is_validate_only=is_validate_only)

    def get(self, tenant: str, name: str, revision: int = 0) -> Policy:
        """A revision, also of a deleted policy; 0: the one in force. POLICY_NOT_FOUND."""
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            return find_policy(transaction, tenant, name, revision)

    def list(
        self, tenant: str, *, model: str, after: tuple[int, str], limit: int, is_deleted_shown: bool
    ) -> Sequence[tuple[int, Policy]]:
        """Policies of a tenant, then those of all tenants, each kind by name, with its kind: 0 or 1.

        Only those about moves of `model`, if one is named. `after` is kind and name of the last one known.
        """
        kind, name = after
        found: list[tuple[int, Policy]] = []
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            for place, owner in enumerate(dict.fromkeys((tenant, EVERYWHERE))):
                last = name if place == kind else ""
                while place >= kind and len(found) < limit:
                    page = transaction.policies.list(owner, after=last, limit=limit, is_deleted_shown=is_deleted_shown)
                    found += [(place, policy) for policy in page if not model or policy.scope.covers_model(model)]
                    if len(page) < limit:
                        break
                    last = page[-1].name
        return found[:limit]

    def revisions(self, tenant: str, name: str, *, before: int, limit: int) -> Sequence[Policy]:
        """Revisions of a policy, the newest first, less than `before` only (0: from the newest). POLICY_NOT_FOUND."""
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            found = transaction.policies.revisions(tenant, name, before=before, limit=limit)
            if not found and not before:
                raise policy_not_found(tenant, name)
            return found

    def update(
        self,
        mutation: Mutation[PolicyChanged],
        tenant: str,
        name: str,
        *,
        etag: str,
        wanted: PolicyUpdate,
        is_validate_only: bool = False,
    ) -> bytes:
        """Write another revision, unless it would say the same."""

        def action(transaction: Transaction, now: datetime) -> PolicyChanged:
            policy = _lock(transaction, tenant, name, etag)
            scope = policy.scope if wanted.scope is None else wanted.scope
            rules = policy.rules if wanted.rules is None else wanted.rules
            with checking() as check:
                check_size(check, "rules", scope, rules)
            changed = replace(
                policy,
                description=policy.description if wanted.description is None else wanted.description,
                scope=scope,
                rules=rules,
                document=write_document(scope, rules),
            )
            if changed == policy:
                return PolicyChanged(policy, 0)
            changed = replace(changed, revision=policy.revision + 1, updated_by=mutation.caller.actor, update_time=now)
            by = By(mutation.caller, now, mutation.request_id)
            before, after = _shown(policy), _shown(changed)
            sequence = record(transaction, by, "policy.updated", tenant, before=before, after=after)
            transaction.policies.add(changed, sequence)
            return PolicyChanged(changed, sequence)

        return self._mutations.run(mutation, action, is_validate_only=is_validate_only)

    def delete(self, mutation: Mutation[PolicyChanged], tenant: str, name: str, *, etag: str) -> bytes:
        """End a policy. Its revisions stay, and its name stays taken."""

        def action(transaction: Transaction, now: datetime) -> PolicyChanged:
            policy = replace(_lock(transaction, tenant, name, etag), delete_time=now)
            by = By(mutation.caller, now, mutation.request_id)
            sequence = record(transaction, by, "policy.deleted", tenant, before=_shown(policy))
            transaction.policies.delete(policy, sequence)
            return PolicyChanged(policy, sequence)

        return self._mutations.run(mutation, action)


def find_policy(transaction: Transaction, tenant: str, name: str, revision: int = 0) -> Policy:
    """See `Policies.get`."""
    policy = transaction.policies.get(tenant, name, revision)
    if policy is None or (policy.delete_time is not None and not revision):
        raise policy_not_found(tenant, name, revision)
    return policy


def policy_not_found(tenant: str, name: str, revision: int = 0) -> RegistrarError:
    """That there is no such policy, or not this revision of it."""
    what = f"revision {revision} of policy {name}" if revision else f"policy {name}"
    return RegistrarError(
        Reason.POLICY_NOT_FOUND, f"tenant {tenant} has no {what}", metadata={"policy": name, "tenant": tenant}
    )


def _lock(transaction: Transaction, tenant: str, name: str, etag: str) -> Policy:
    """A policy in force, to be changed."""
    require_tenant_or_all(transaction, tenant)
    transaction.policies.lock()
    policy = find_policy(transaction, tenant, name)
    require_etag(etag, policy.etag)
    return policy


def _shown(policy: Policy) -> dict[str, object]:
    """A policy as the audit shows it."""
    return {
        "policy": policy.name,
        "revision": policy.revision,
        "digest": policy.digest,
        "description": policy.description,
        **json.loads(policy.document),
    }
