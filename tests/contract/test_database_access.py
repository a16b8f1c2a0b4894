"""What every implementation of the port `AccessRecords` must do, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy.exc import IntegrityError

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import ApiToken, RoleBinding
from registrar_server.domain.access import BUILT_IN_ROLES, EVERYWHERE, Grant, NamePattern, Right, Role
from registrar_server.domain.values import Stage
from tests.fixtures.database import NOON, at, uid

ANNA = "user:anna@acme.example"
GROUP = "group:ml-engineers"
SOON = at(60)
GRANTS = (
    Grant(Right.READ),
    Grant(Right.PROMOTE, stages=(Stage.STAGING, Stage.ARCHIVED)),
    Grant(Right.MOVE_ALIAS, alias_patterns=(NamePattern("canary-*"), NamePattern("champion"))),
    Grant(Right.APPROVE, approver_roles=("risk",)),
)


def role(name: str = "stager", tenant: str = "default", grants: Sequence[Grant] = GRANTS) -> Role:
    return Role(tenant, name, "ü", tuple(grants), revision=1, create_time=NOON, update_time=NOON)


def binding(
    member: str = ANNA, role: str = "reader", tenant: str = "default", models: str = "*", end: datetime | None = None
) -> RoleBinding:
    return RoleBinding(uid(), tenant, role, member, NamePattern(models), end, "why", "local", NOON)


def token(name: str = "ci", role: str = "contributor", tenant: str = "default", end: datetime = SOON) -> ApiToken:
    return ApiToken(uid(), tenant, name, role, NamePattern("churn-*"), "for CI", end, None, "local", NOON, None)


class TestRoles:
    """Roles."""

    def test_a_role_comes_back_as_it_was_given(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert transaction.access.insert_role(role())
        with database.reading() as transaction:
            found = transaction.access.find_role("default", "stager")
        assert found == role()
        assert found is not None
        assert not found.is_built_in

    def test_a_taken_name_is_not_inserted_again(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert transaction.access.insert_role(role())
            assert not transaction.access.insert_role(replace(role(), description="other"))
            assert transaction.access.insert_role(role(tenant="acme-corp"))
            assert transaction.access.insert_role(role(tenant=EVERYWHERE))
            assert transaction.access.find_role("default", "stager") == role()

    def test_a_tenant_s_own_role_comes_before_that_of_all_tenants_and_that_before_a_built_in_one(
        self, database: SqlDatabase
    ) -> None:
        with database.writing() as transaction:
            access = transaction.access
            assert access.find_role("default", "reader") == BUILT_IN_ROLES["reader"]
            access.insert_role(role("reader", EVERYWHERE))
            assert access.find_role("default", "reader") == role("reader", EVERYWHERE)
            access.insert_role(role("reader"))
            assert access.find_role("default", "reader") == access.lock_role("default", "reader") == role("reader")
            assert access.find_role("acme-corp", "reader") == role("reader", EVERYWHERE)
            assert access.find_role(EVERYWHERE, "reader") == role("reader", EVERYWHERE)
            assert access.find_role("default", "nobody") is None

    def test_a_list_has_one_tenant_s_roles_by_name(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            for name in ("b", "a-b", "a", "ab", "a0"):
                transaction.access.insert_role(role(name))
            transaction.access.insert_role(role("z", EVERYWHERE))
            first = transaction.access.list_roles("default", after="", limit=3)
            rest = transaction.access.list_roles("default", after=first[-1].name, limit=3)
            assert [one.name for one in (*first, *rest)] == ["a", "a-b", "a0", "ab", "b"]
            assert [one.name for one in transaction.access.list_roles(EVERYWHERE, after="", limit=9)] == ["z"]

    def test_an_update_replaces_what_a_role_says_and_grows_its_revision(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.access.insert_role(role())
            transaction.access.insert_role(role(tenant="acme-corp"))
            wanted = replace(role(), description="", grants=(Grant(Right.READ),), update_time=at(1))
            transaction.access.update_role(wanted)
            assert transaction.access.find_role("default", "stager") == replace(wanted, revision=2)
            assert transaction.access.find_role("acme-corp", "stager") == role(tenant="acme-corp")

    def test_a_deleted_role_is_gone_from_its_tenant_only(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.access.insert_role(role())
            transaction.access.insert_role(role(tenant="acme-corp"))
            transaction.access.delete_role("default", "stager")
            assert transaction.access.find_role("default", "stager") is None
            assert transaction.access.find_role("acme-corp", "stager") == role(tenant="acme-corp")

    def test_who_locks_a_role_waits_for_who_has_it(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.access.insert_role(role())
        is_locked = threading.Event()

        def delete_it() -> None:
            with database.writing() as transaction:
                transaction.access.lock_role("default", "stager")
                is_locked.set()
                transaction.access.delete_role("default", "stager")

        with ThreadPoolExecutor(1) as pool:
            with database.writing() as transaction:
                assert transaction.access.lock_role("default", "stager") == role()
                deleting = pool.submit(delete_it)
                assert not is_locked.wait(0.2)
                transaction.access.bind(binding(role="stager"))
            deleting.result(30)
        with database.reading() as transaction:
            assert transaction.access.find_role("default", "stager") is None


class TestBindings:
    """Bindings, and what members hold by them."""

    def test_a_member_holds_what_it_is_bound_to_in_every_tenant(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.access.insert_role(role())
            transaction.access.bind(binding(models="churn-*", end=at(60)))
            transaction.access.bind(binding(role="stager"))
            transaction.access.bind(binding(GROUP, "deployer", "acme-corp"))
            transaction.access.bind(binding("user:other", "administrator", EVERYWHERE))
        with database.reading() as transaction:
            held = transaction.access.held_by([ANNA, GROUP, "group:none"], now=NOON)
            assert transaction.access.held_by([], now=NOON) == []
        found = {(one.tenant, one.role, one.models.text, one.expire_time): one.grants for one in held}
        assert found == {
            ("default", "reader", "churn-*", at(60)): BUILT_IN_ROLES["reader"].grants,
            ("default", "stager", "*", None): GRANTS,
            ("acme-corp", "deployer", "*", None): BUILT_IN_ROLES["deployer"].grants,
        }

    def test_a_member_holds_nothing_of_a_binding_that_ended_or_of_a_role_that_is_gone(
        self, database: SqlDatabase
    ) -> None:
        with database.writing() as transaction:
            transaction.access.bind(binding(end=at(60)))
            transaction.access.bind(binding(role="gone"))
            assert [one.role for one in transaction.access.held_by([ANNA], now=at(59))] == ["reader"]
            assert transaction.access.held_by([ANNA], now=at(60)) == []

    def test_a_binding_means_the_role_of_its_own_tenant_first(self, database: SqlDatabase) -> None:
        own, shared = (Grant(Right.DELETE),), (Grant(Right.DEPLOY),)
        with database.writing() as transaction:
            access = transaction.access
            for tenant in ("default", "acme-corp", EVERYWHERE):
                access.bind(binding(role="reader", tenant=tenant))

            def held() -> dict[str, tuple[Grant, ...]]:
                return {one.tenant: one.grants for one in access.held_by([ANNA], now=NOON)}

            assert set(held().values()) == {BUILT_IN_ROLES["reader"].grants}
            access.insert_role(role("reader", EVERYWHERE, shared))
            assert set(held().values()) == {shared}
            access.insert_role(role("reader", "default", own))
            assert held() == {"default": own, "acme-corp": shared, EVERYWHERE: shared}

    def test_members_are_found_among_many(self, database: SqlDatabase) -> None:
        groups = [f"group:{number}" for number in range(1_200)]
        with database.writing() as transaction:
            for member in (groups[0], groups[-1]):
                transaction.access.bind(binding(member))
            assert len(transaction.access.held_by([*groups, groups[0]], now=NOON)) == 2

    def test_the_same_binding_twice_is_one_with_the_new_end_and_comment(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            first = binding(end=at(60))
            assert transaction.access.find_bound(first) is None
            assert transaction.access.bind(first) == first
            again = replace(binding(end=at(90)), comment="longer", created_by="other", create_time=at(1))
            wanted = replace(first, expire_time=at(90), comment="longer")
            assert transaction.access.bind(again) == wanted
            assert transaction.access.find_bound(again) == wanted
            assert transaction.access.bind(binding(models="churn")).id != first.id
            assert transaction.access.find_binding("default", first.id) == wanted
            assert transaction.access.find_binding("acme-corp", first.id) is None

    def test_a_list_has_one_tenant_s_bindings_the_oldest_first(self, database: SqlDatabase) -> None:
        made = [
            replace(binding(f"user:{number}", role), create_time=at(-number // 2))
            for number, role in enumerate(["reader", "deployer", "reader", "reader", "deployer"])
        ]
        with database.writing() as transaction:
            for one in (*made, binding(tenant="acme-corp")):
                transaction.access.bind(one)
            expected = sorted(made, key=lambda one: (one.create_time, one.id))
            found: list[RoleBinding] = []
            while page := transaction.access.list_bindings(
                "default", member="", role="", after=(found[-1].create_time, found[-1].id) if found else None, limit=2
            ):
                found += page
            assert found == expected
            of_role = transaction.access.list_bindings("default", member="", role="reader", after=None, limit=9)
            assert of_role == [one for one in expected if one.role == "reader"]
            of_member = transaction.access.list_bindings("default", member="user:4", role="", after=None, limit=9)
            assert of_member == [made[4]]

    def test_what_is_unbound_is_gone(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            first, second = (transaction.access.bind(binding(models=models)) for models in ("*", "m"))
            assert transaction.access.unbind(first.id)
            assert not transaction.access.unbind(first.id)
            assert transaction.access.find_binding("default", first.id) is None
            assert [one.models.text for one in transaction.access.held_by([ANNA], now=NOON)] == [second.models.text]

    def test_uses_of_a_role_are_living_bindings_and_tokens_that_mean_it(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            access = transaction.access
            access.insert_role(role("own"))
            for one in (
                binding(role="own"),
                binding(role="own", models="m", end=at(60)),
                binding(role="own", models="ended", end=NOON),
                binding(role="own", tenant="acme-corp"),
                binding(role="own", tenant=EVERYWHERE),
            ):
                access.bind(one)
            revoked = token(role="own")
            for index, credential in enumerate(
                (token(role="own"), token(role="own", end=NOON), revoked, token(role="own", tenant="acme-corp"))
            ):
                access.insert_token(credential, f"{index:064}")
            access.revoke_token(revoked.id, time=NOON)
            assert access.count_uses("default", "own", now=NOON) == (2, 1)
            assert access.count_uses("acme-corp", "own", now=NOON) == (1, 1)
            assert access.count_uses(EVERYWHERE, "own", now=NOON) == (2, 1)
            assert access.count_uses("default", "other", now=NOON) == (0, 0)


class TestTokens:
    """Tokens."""

    def test_a_token_is_found_by_its_digest_or_its_tenant_and_id(self, database: SqlDatabase) -> None:
        made = token()
        with database.writing() as transaction:
            transaction.access.insert_token(made, "a" * 64)
            transaction.access.insert_token(token("other"), "b" * 64)
        with database.reading() as transaction:
            assert transaction.access.find_token_by_digest("a" * 64) == made
            assert transaction.access.find_token("default", made.id) == made
            assert transaction.access.find_token("acme-corp", made.id) is None
            assert transaction.access.find_token_by_digest("c" * 64) is None

    def test_a_secret_is_one_token_s_only(self, database: SqlDatabase) -> None:
        with pytest.raises(IntegrityError), database.writing() as transaction:
            transaction.access.insert_token(token(), "a" * 64)
            transaction.access.insert_token(token(tenant="acme-corp"), "a" * 64)

    def test_a_revoked_token_is_still_found_and_keeps_its_first_time(self, database: SqlDatabase) -> None:
        made = token()
        with database.writing() as transaction:
            transaction.access.insert_token(made, "a" * 64)
            assert transaction.access.revoke_token(made.id, time=at(1))
            assert not transaction.access.revoke_token(made.id, time=at(2))
            assert transaction.access.find_token_by_digest("a" * 64) == replace(made, revoke_time=at(1))

    def test_a_list_has_what_ended_only_on_request(self, database: SqlDatabase) -> None:
        ended, revoked, living = token(end=at(1)), token(), token()
        with database.writing() as transaction:
            for index, one in enumerate((ended, revoked, living, token(tenant="acme-corp"))):
                transaction.access.insert_token(replace(one, create_time=at(index)), f"{index:064}")
            transaction.access.revoke_token(revoked.id, time=NOON)

            def listed(*, is_ended_shown: bool, after: tuple[datetime, str] | None = None) -> list[str]:
                found = transaction.access.list_tokens(
                    "default", is_ended_shown=is_ended_shown, now=at(1), after=after, limit=2
                )
                return [one.id for one in found]

            assert listed(is_ended_shown=False) == [living.id]
            assert listed(is_ended_shown=True) == [ended.id, revoked.id]
            assert listed(is_ended_shown=True, after=(at(1), revoked.id)) == [living.id]

    def test_the_last_use_never_goes_back(self, database: SqlDatabase) -> None:
        made = [token() for _ in range(3)]
        with database.writing() as transaction:
            for index, one in enumerate(made):
                transaction.access.insert_token(one, f"{index:064}")
            transaction.access.note_uses([made[0].id, made[1].id], time=at(60))
            transaction.access.note_uses([made[1].id], time=at(30))
            transaction.access.note_uses([], time=at(30))
            found = [transaction.access.find_token("default", one.id) for one in made]
        assert [one and one.last_use_time for one in found] == [at(60), at(60), None]


class TestSessions:
    """Sessions."""

    def test_a_cutoff_never_goes_back(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert transaction.access.sessions_not_before(ANNA) is None
            for seconds, expected in ((5, 5), (9, 9), (7, 9)):
                transaction.access.cut_sessions(ANNA, not_before=at(seconds))
                assert transaction.access.sessions_not_before(ANNA) == at(expected)
            assert transaction.access.sessions_not_before("user:other") is None
