"""The access file: tenants, roles and bindings that hold from the start, in YAML.

    tenants:
      - name: acme-corp
        description: …
        quotas: {models: 100, versions: 1000, bytes: 1000000000000, concurrent_transfers: 16}
    roles:
      - tenant: acme-corp
        name: stager
        description: …
        grants: [read, {right: promote, stages: [staging]}]
    bindings:
      - tenant: "*"
        role: administrator
        member: group:platform
        models: "*"
        comment: …

Names of fields and their limits are those of the contract. Whatever is not known is refused: a misspelt limit must not
become none.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from registrar_server.application.administration.bindings import NewBinding
from registrar_server.application.administration.declaration import Declaration, DeclaredRole, DeclaredTenant
from registrar_server.domain import limits
from registrar_server.domain.access import BUILT_IN_ROLES, Grant, NamePattern, Right
from registrar_server.domain.errors import InvalidRequest, Violation
from registrar_server.domain.tenants import Quotas
from registrar_server.domain.validation import Checker, checking
from registrar_server.domain.values import Stage

_QUOTAS = ("models", "versions", "bytes", "concurrent_transfers")


def read_access_file(path: Path) -> Declaration:
    """What a file declares. InvalidRequest with every wrong field by its path, such as `roles[0].grants[1].right`."""
    with checking() as check:
        document = _mapping(check, "", _load(path), ("tenants", "roles", "bindings"))
        declaration = Declaration(
            tenants=tuple(_tenant(check, at, one) for at, one in _entries(check, "tenants", document.get("tenants"))),
            roles=tuple(_role(check, at, one) for at, one in _entries(check, "roles", document.get("roles"))),
            bindings=tuple(
                _binding(check, at, one) for at, one in _entries(check, "bindings", document.get("bindings"))
            ),
        )
        check.unique("tenants", [tenant.name for tenant in declaration.tenants])
        check.unique("roles", [(role.tenant, role.name) for role in declaration.roles])
        bound = [(one.tenant, one.role, one.member, one.models) for one in declaration.bindings]
        check.unique("bindings", bound)
    return declaration


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML's own loader keeps the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """See the base."""
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _load(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (safe: it is its subclass)
    except OSError as exc:
        raise _unreadable(f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise _unreadable("is not UTF-8") from exc
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise _unreadable(f"is not YAML: {' '.join(str(exc).split())}") from exc


def _unreadable(description: str) -> InvalidRequest:
    return InvalidRequest([Violation("", description)])


def _tenant(check: Checker, at: str, value: object) -> DeclaredTenant:
    fields = _mapping(check, at, value, ("name", "description", "quotas"))
    named = _mapping(check, f"{at}.quotas", fields.get("quotas"), _QUOTAS)
    return DeclaredTenant(
        name=check.tenant(f"{at}.name", _text(check, f"{at}.name", fields.get("name"))),
        description=_note(check, f"{at}.description", fields.get("description")),
        quotas=check.quotas(
            f"{at}.quotas", Quotas(*(_number(check, f"{at}.quotas.{name}", named.get(name)) for name in _QUOTAS))
        ),
    )


def _role(check: Checker, at: str, value: object) -> DeclaredRole:
    fields = _mapping(check, at, value, ("tenant", "name", "description", "grants"))
    name = check.role_name(f"{at}.name", _text(check, f"{at}.name", fields.get("name")))
    if name in BUILT_IN_ROLES:
        check.fail(f"{at}.name", f"{name} comes with the registry and stays as it is")
    grants = [_grant(check, where, one) for where, one in _entries(check, f"{at}.grants", fields.get("grants"))]
    return DeclaredRole(
        tenant=check.tenant_or_all(f"{at}.tenant", _text(check, f"{at}.tenant", fields.get("tenant"))),
        name=name,
        description=_note(check, f"{at}.description", fields.get("description")),
        grants=check.grants(f"{at}.grants", grants),
    )


def _grant(check: Checker, at: str, value: object) -> Grant:
    """A right by its name alone, or with what limits it."""
    known = ("right", "stages", "alias_patterns", "approver_roles")
    fields = {"right": value} if isinstance(value, str) else _mapping(check, at, value, known)
    right = _text(check, f"{at}.right", fields.get("right")).replace("-", "_")
    if right not in set(Right):
        check.fail(f"{at}.right", f"must be one of {', '.join(Right)}")
    stages = [_text(check, where, one) for where, one in _entries(check, f"{at}.stages", fields.get("stages"))]
    for index, stage in enumerate(stages):
        if stage not in set(Stage):
            check.fail(f"{at}.stages[{index}]", f"must be one of {', '.join(Stage)}")
    patterns = _entries(check, f"{at}.alias_patterns", fields.get("alias_patterns"))
    approvers = _entries(check, f"{at}.approver_roles", fields.get("approver_roles"))
    return Grant(
        right=Right(right) if right in set(Right) else Right.READ,
        stages=tuple(Stage(stage) for stage in stages if stage in set(Stage)),
        alias_patterns=tuple(NamePattern(_text(check, where, one)) for where, one in patterns),
        approver_roles=tuple(_text(check, where, one) for where, one in approvers),
    )


def _binding(check: Checker, at: str, value: object) -> NewBinding:
    fields = _mapping(check, at, value, ("tenant", "role", "member", "models", "comment"))
    return NewBinding(
        tenant=check.tenant_or_all(f"{at}.tenant", _text(check, f"{at}.tenant", fields.get("tenant"))),
        role=check.role_name(f"{at}.role", _text(check, f"{at}.role", fields.get("role"))),
        member=check.member(f"{at}.member", _text(check, f"{at}.member", fields.get("member"))),
        models=check.model_pattern(f"{at}.models", _text(check, f"{at}.models", fields.get("models"))),
        comment=_note(check, f"{at}.comment", fields.get("comment")),
    )


def _mapping(check: Checker, at: str, value: object, known: tuple[str, ...]) -> dict[Any, Any]:
    """Fields by name; nothing at all counts as none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        check.fail(at, f"must have fields: {', '.join(known)}")
        return {}
    for key in value:
        if key not in known:
            check.fail(f"{at}.{str(key)[:64]}".lstrip("."), f"is unknown; known are {', '.join(known)}")
    return value


def _entries(check: Checker, at: str, value: object) -> list[tuple[str, object]]:
    """Entries of a list, each with its path; nothing at all counts as none."""
    if value is None:
        return []
    if not isinstance(value, list):
        check.fail(at, "must be a list")
        return []
    return [(f"{at}[{index}]", one) for index, one in enumerate(value)]


def _text(check: Checker, at: str, value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    check.fail(at, "must be text; put it in quotes")
    return ""


def _note(check: Checker, at: str, value: object) -> str:
    return check.text(at, _text(check, at, value), limits.NOTE_CHARACTERS)


def _number(check: Checker, at: str, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    check.fail(at, "must be a whole number")
    return None
