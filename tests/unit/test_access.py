"""Rights: default deny, patterns, limits, and what a caller is told who may not."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from registrar_server.application.authorization import (
    Permit,
    require_right,
    require_right_everywhere,
    require_right_in_tenant,
    require_right_somewhere,
)
from registrar_server.domain.access import (
    ALL_ACCESS,
    ANYTHING,
    BUILT_IN_ROLES,
    EVERYWHERE,
    NO_ACCESS,
    Access,
    Caller,
    Grant,
    HeldRole,
    NamePattern,
    Right,
    Target,
)
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey, Stage

TENANTS = ("acme", "globex")
MODELS = ("fraud", "fraud-eu", "churn")
PATTERNS = ("*", "fraud", "fraud-*", "fraud*", "c*")

limits = st.fixed_dictionaries(
    {
        "stages": st.lists(st.sampled_from(Stage), max_size=2).map(tuple),
        "alias_patterns": st.lists(st.sampled_from(["champion", "canary*"]).map(NamePattern), max_size=2).map(tuple),
    }
)
grants = st.builds(lambda right, limit: Grant(right, **limit), st.sampled_from(Right), limits)
held_roles = st.builds(
    HeldRole,
    tenant=st.sampled_from((*TENANTS, EVERYWHERE)),
    role=st.just("role"),
    grants=st.lists(grants, max_size=3).map(tuple),
    models=st.sampled_from(PATTERNS).map(NamePattern),
)
targets = st.one_of(
    st.just(ANYTHING),
    st.builds(Target, stage=st.sampled_from(Stage)),
    st.builds(Target, alias=st.sampled_from(["champion", "canary-1", "other"])),
)


def holding(*roles: str, tenant: str = "acme", models: str = "*") -> Caller:
    """A caller with built-in roles."""
    held = [HeldRole(tenant, role, BUILT_IN_ROLES[role].grants, NamePattern(models)) for role in roles]
    return Caller("user:a", "acme", Access(held))


def matches(pattern: str, name: str) -> bool:
    """What a pattern means, said otherwise."""
    return name[: len(pattern) - 1] == pattern[:-1] if pattern[-1] == "*" else name == pattern


def allows(grant: Grant, right: Right, target: Target) -> bool:
    """What a grant means, said otherwise."""
    if grant.right is not right:
        return False
    if target.stage is not None and grant.stages and target.stage not in grant.stages:
        return False
    aliases = [pattern.text for pattern in grant.alias_patterns]
    return not (target.alias and aliases and not any(matches(text, target.alias) for text in aliases))


@given(
    st.lists(held_roles, max_size=5), st.sampled_from(Right), st.sampled_from(TENANTS), st.sampled_from(MODELS), targets
)
def test_a_caller_may_what_some_role_says_and_nothing_else(
    held: list[HeldRole], right: Right, tenant: str, model: str, target: Target
) -> None:
    expected = any(
        one.tenant in (tenant, EVERYWHERE)
        and matches(one.models.text, model)
        and any(allows(grant, right, target) for grant in one.grants)
        for one in held
    )
    assert Access(held).may(right, tenant, model, target) is expected


@given(st.lists(held_roles, max_size=5), st.sampled_from(Right), st.sampled_from(TENANTS), st.sampled_from(MODELS))
def test_lists_hold_what_could_be_read_one_by_one(held: list[HeldRole], right: Right, tenant: str, model: str) -> None:
    access = Access(held)
    assert any(pattern.matches(model) for pattern in access.models(right, tenant)) is access.may(right, tenant, model)


@given(st.lists(held_roles, max_size=5), st.sampled_from(Right), st.sampled_from(TENANTS))
def test_a_right_in_a_tenant_is_one_on_any_model_whatever_its_name(
    held: list[HeldRole], right: Right, tenant: str
) -> None:
    access = Access(held)
    if access.may_in_tenant(right, tenant):
        assert access.models(right, tenant) == (NamePattern(),)
        assert access.may(right, tenant, "any-name-at-all", Target(Stage.PRODUCTION))
    if access.may_everywhere(right):
        assert access.may_in_tenant(right, tenant)
        assert access.may_in_tenant(right, "a-tenant-of-tomorrow")
    if access.models(right, tenant):
        assert access.sees(tenant)


@pytest.mark.parametrize("right", Right)
def test_nothing_is_allowed_by_default(right: Right) -> None:
    assert not NO_ACCESS.may(right, "acme", "fraud")
    assert not NO_ACCESS.sees("acme")
    assert not NO_ACCESS.models(right, "acme")
    assert ALL_ACCESS.may(right, "acme", "fraud")


def test_only_the_role_for_emergencies_breaks_the_glass() -> None:
    assert [
        name for name, role in BUILT_IN_ROLES.items() if any(g.right is Right.BREAK_GLASS for g in role.grants)
    ] == ["break-glass"]


def test_who_may_read_is_told_which_right_is_missing_on_what() -> None:
    with pytest.raises(RegistrarError) as caught:
        require_right(holding("reader"), Right.PROMOTE, ModelKey("acme", "fraud"), Target(Stage.PRODUCTION))
    error = caught.value
    assert error.reason is Reason.PERMISSION_DENIED
    assert error.metadata == {"right": "promote", "tenant": "acme", "model": "fraud", "stage": "production"}
    assert "user:a lacks the right to promote to or from production on model fraud of tenant acme" in error.message


def test_who_may_not_read_is_told_that_there_is_nothing() -> None:
    caller = holding("contributor", models="churn*")
    with pytest.raises(RegistrarError) as caught:
        require_right(caller, Right.READ, ModelKey("acme", "fraud"))
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
    with pytest.raises(RegistrarError) as caught:
        require_right(caller, Right.READ, ModelKey("globex", "churn"))
    assert caught.value.reason is Reason.TENANT_NOT_FOUND
    assert caught.value.metadata == {"tenant": "globex"}


def test_a_role_on_some_models_is_no_role_in_the_tenant() -> None:
    caller = holding("administrator", models="fraud*")
    require_right_somewhere(caller, Right.ADMINISTER, "acme")
    with pytest.raises(RegistrarError) as caught:
        require_right_in_tenant(caller, Right.ADMINISTER, "acme")
    assert caught.value.reason is Reason.PERMISSION_DENIED


def test_a_role_in_one_tenant_is_none_in_all() -> None:
    caller = holding("administrator")
    require_right_in_tenant(caller, Right.ADMINISTER, "acme")
    attempts: list[Callable[[], None]] = [
        lambda: require_right_everywhere(caller, Right.ADMINISTER),
        lambda: require_right_in_tenant(caller, Right.ADMINISTER, EVERYWHERE),
    ]
    for refused in attempts:
        with pytest.raises(RegistrarError) as caught:
            refused()
        assert caught.value.reason is Reason.PERMISSION_DENIED
        assert caught.value.metadata["tenant"] == EVERYWHERE
    require_right_everywhere(holding("administrator", tenant=EVERYWHERE), Right.ADMINISTER)


def test_a_permit_hides_what_its_caller_may_not_know_of() -> None:
    permit = Permit(holding("contributor", models="fraud*"), Right.REGISTER, "acme")
    assert permit.admits(ModelKey("acme", "fraud-eu"))
    assert not permit.admits(ModelKey("acme", "churn"))
    assert not permit.admits(ModelKey("globex", "fraud-eu"))
    with pytest.raises(RegistrarError) as caught:
        Permit(holding("reader"), Right.REGISTER, "acme").admits(ModelKey("acme", "churn"))
    assert caught.value.reason is Reason.PERMISSION_DENIED
