"""The access file: what it says, and that whatever is wrong with it is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from registrar_server.adapters.access_file import read_access_file
from registrar_server.application.administration.bindings import NewBinding
from registrar_server.application.administration.declaration import Declaration, DeclaredRole, DeclaredTenant
from registrar_server.domain.access import Grant, NamePattern, Right
from registrar_server.domain.errors import InvalidRequest
from registrar_server.domain.tenants import Quotas
from registrar_server.domain.values import Stage

WHOLE = """
tenants:
  - name: acme-corp
    description: Ours
    quotas: {models: 100, bytes: 0}
  - name: other
roles:
  - tenant: acme-corp
    name: stager
    description: Stages
    grants:
      - read
      - {right: promote, stages: [staging, archived]}
      - {right: move-alias, alias_patterns: ["canary-*", champion]}
      - {right: approve, approver_roles: [risk]}
bindings:
  - {tenant: "*", role: administrator, member: "group:platform"}
  - {tenant: acme-corp, role: stager, member: "user:anna@acme.example", models: "churn-*", comment: why}
"""


def read(tmp_path: Path, text: str) -> Declaration:
    path = tmp_path / "access.yaml"
    path.write_text(text, encoding="utf-8")
    return read_access_file(path)


def wrong(tmp_path: Path, text: str) -> dict[str, str]:
    """What is said to be wrong, by field."""
    with pytest.raises(InvalidRequest) as caught:
        read(tmp_path, text)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_a_file_says_what_is_to_be_there(tmp_path: Path) -> None:
    grants = (
        Grant(Right.READ),
        Grant(Right.PROMOTE, stages=(Stage.STAGING, Stage.ARCHIVED)),
        Grant(Right.MOVE_ALIAS, alias_patterns=(NamePattern("canary-*"), NamePattern("champion"))),
        Grant(Right.APPROVE, approver_roles=("risk",)),
    )
    assert read(tmp_path, WHOLE) == Declaration(
        (DeclaredTenant("acme-corp", "Ours", Quotas(models=100, bytes=0)), DeclaredTenant("other", "", Quotas())),
        (DeclaredRole("acme-corp", "stager", "Stages", grants),),
        (
            NewBinding("*", "administrator", "group:platform", NamePattern("*")),
            NewBinding("acme-corp", "stager", "user:anna@acme.example", NamePattern("churn-*"), comment="why"),
        ),
    )


@pytest.mark.parametrize("text", ["", "# nothing", "tenants:\nroles: []\n"])
def test_an_empty_file_says_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Declaration()


def test_everything_that_is_wrong_is_said_at_once_with_its_path(tmp_path: Path) -> None:
    found = wrong(
        tmp_path,
        """
        tenants:
          - {name: X, quotas: {models: -1, bytes: 1.5, files: 1, versions: true}, description: 3}
          - acme
        roles:
          - {tenant: X, name: Reader, grants: [fly, {right: read, stages: [staging]}, {right: promote, stages: [live]}]}
          - {tenant: acme-corp, name: administrator, grants: read}
          - {tenant: acme-corp, name: a, grants: [{right: approve, approver_roles: [R]}, {aliases: ["a"]}, 7]}
        bindings:
          - {tenant: acme-corp, role: reader, member: anna, models: "*a"}
          - {}
        group: x
        """,
    )
    assert set(found) == {
        "group",
        "tenants[0].name",
        "tenants[0].description",
        "tenants[0].quotas.models",
        "tenants[0].quotas.bytes",
        "tenants[0].quotas.files",
        "tenants[0].quotas.versions",
        "tenants[1]",
        "tenants[1].name",
        "roles[0].tenant",
        "roles[0].name",
        "roles[0].grants[0].right",
        "roles[0].grants[1].stages",
        "roles[0].grants[2].stages[0]",
        "roles[1].name",
        "roles[1].grants",
        "roles[2].grants[0].approver_roles[0]",
        "roles[2].grants[1].aliases",
        "roles[2].grants[1].right",
        "roles[2].grants[2]",
        "roles[2].grants[2].right",
        "bindings[0].member",
        "bindings[0].models",
        "bindings[1].tenant",
        "bindings[1].role",
        "bindings[1].member",
    }


def test_what_is_there_twice_is_refused(tmp_path: Path) -> None:
    binding = '- {tenant: a1, role: reader, member: "user:a"}'
    role = "- {tenant: a1, name: r, grants: [read]}"
    tenant = "- {name: a1}"
    found = wrong(
        tmp_path, f"tenants: [{tenant[2:]}, {tenant[2:]}]\nroles:\n{role}\n{role}\nbindings:\n{binding}\n{binding}"
    )
    assert found == dict.fromkeys(("tenants[1]", "roles[1]", "bindings[1]"), "is there twice")
    assert "read is there twice" not in wrong(tmp_path, "roles: []\nroles: []")[""]
    assert "roles is there twice" in wrong(tmp_path, "roles: []\nroles: []")[""]


@pytest.mark.parametrize(
    "text", ["a: [", "tenants: *all", "- a", "!!python/object/apply:os.getcwd []", "roles: x", "{[1]: 2}", "7"]
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    assert wrong(tmp_path, text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_access_file(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidRequest):
        read_access_file(tmp_path / "bytes.yaml")
