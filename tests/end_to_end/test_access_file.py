"""Who may do what before anybody can say so by a call: the access file, and the first token."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from tests.end_to_end.api import CODE, refused
from tests.fixtures.server import MakeServer, RunningServer, clean_environment

FILE = """
tenants:
  - {name: north, quotas: {models: 7}}
roles:
  - {tenant: north, name: stager, grants: [read, {right: promote, stages: [staging]}]}
bindings:
  - {tenant: "*", role: administrator, member: "group:platform"}
  - {tenant: north, role: stager, member: "user:anna@acme.example", models: "churn-*"}
"""
COMMAND_SECONDS = 60


def registrar(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "registrar"), *arguments]
    settings = clean_environment(**(environment or {}))
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)


def first_token(data: Path, *arguments: str) -> str:
    made = registrar("bootstrap-token", "--data", str(data), *arguments)
    assert (made.returncode, made.stderr) == (0, "")
    assert re.fullmatch(r"rgt_[A-Za-z0-9_-]{43}\n", made.stdout)
    return made.stdout.strip()


def audited(data: Path, actor: str) -> list[tuple[str, str]]:
    """Tenant and action of what an actor did, in order."""
    with closing(sqlite3.connect(f"file:{data / 'registrar.db'}?mode=ro", uri=True)) as database:
        query = "SELECT tenant, action FROM audit_entries WHERE actor = ? ORDER BY event_sequence"
        return list(database.execute(query, (actor,)))


def test_the_access_file_holds_from_the_start_and_a_second_start_changes_nothing(
    make_server: MakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(FILE)
    data = tmp_path / "data"
    token = first_token(data)
    credentials = (("authorization", f"Bearer {token}"),)

    def bindings(server: RunningServer) -> list[tuple[str, str, str]]:
        with server.channel() as channel:
            admin = AdminServiceStub(channel)
            refused(lambda: admin.GetCaller(pb.GetCallerRequest()), CODE.UNAUTHENTICATED, "CREDENTIALS_MISSING")
            tenant = admin.GetTenant(pb.GetTenantRequest(tenant="north"), metadata=credentials).tenant
            assert tenant.quotas.models == 7
            return [
                (one.role, one.member, one.model_pattern)
                for where in ("*", "north")
                for one in admin.ListRoleBindings(
                    pb.ListRoleBindingsRequest(tenant=where), metadata=credentials
                ).bindings
            ]

    environment = {"REGISTRAR_ACCESS_FILE": str(path)}
    expected = [
        ("administrator", "group:platform", "*"),
        ("stager", "user:anna@acme.example", "churn-*"),
    ]
    first = make_server(data, environment)
    assert bindings(first) == expected
    assert first.stop() == 0
    done = audited(data, "file:access")
    assert done == [
        ("north", "tenant.created"),
        ("north", "role.created"),
        ("*", "role_binding.created"),
        ("north", "role_binding.created"),
    ]
    second = make_server(data, environment)
    assert bindings(second) == expected
    assert second.stop() == 0
    assert audited(data, "file:access") == done


@pytest.mark.parametrize("command", [["serve", "--listen", "127.0.0.1:0"], ["check-config"]])
def test_a_wrong_access_file_stops_the_start_and_every_problem_is_named(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "access.yaml"
    path.write_text('roles:\n  - {tenant: north, name: R, grants: [fly]}\nbindings: [{member: "x"}]\n')
    environment = {"REGISTRAR_ACCESS_FILE": str(path), "REGISTRAR_DATA_DIR": str(tmp_path / "data")}
    ended = registrar(*command, environment=environment)
    assert ended.returncode == 2
    for field in ("roles[0].name", "roles[0].grants[0].right", "bindings[0].member", "bindings[0].role"):
        assert field in ended.stderr
    assert not (tmp_path / "data" / "registrar.db").exists()


def test_an_access_file_that_names_what_is_not_there_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    path.write_text('bindings: [{tenant: nowhere, role: reader, member: "user:a"}]\n')
    environment = {"REGISTRAR_ACCESS_FILE": str(path), "REGISTRAR_DATA_DIR": str(tmp_path / "data")}
    ended = registrar("serve", "--listen", "127.0.0.1:0", environment=environment)
    assert ended.returncode == 2
    assert "bindings[0].tenant: there is no tenant nowhere" in ended.stderr


def test_a_first_token_opens_a_server_that_runs_and_is_audited(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(tmp_path / "data", {"REGISTRAR_AUTHENTICATION": "required"})
    whole = first_token(server.data, "--ttl", "5m")
    part = first_token(server.data, "--tenant", "default", "--role", "reader")
    with server.channel() as channel:
        admin = AdminServiceStub(channel)
        caller = admin.GetCaller(pb.GetCallerRequest(), metadata=(("authorization", f"Bearer {whole}"),))
        assert (caller.actor, caller.method) == ("service:bootstrap", "token")
        assert [(one.tenant, one.role, one.model_pattern) for one in caller.roles] == [("*", "administrator", "*")]
        reader = (("authorization", f"Bearer {part}"),)
        refused(
            lambda: admin.ListTenants(pb.ListTenantsRequest(), metadata=reader),
            CODE.PERMISSION_DENIED,
            "PERMISSION_DENIED",
        )
        listed = admin.ListTokens(
            pb.ListTokensRequest(tenant="*"), metadata=(("authorization", f"Bearer {whole}"),)
        ).tokens
        (token,) = listed
        assert (token.created_by, token.name) == ("bootstrap", "bootstrap")
        assert token.expire_time.seconds - token.create_time.seconds == 300
    assert audited(server.data, "bootstrap") == [("*", "token.created"), ("default", "token.created")]
    assert not any(secret[4:] in line for secret in (whole, part) for line in server.log_lines)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--ttl", "1s"], 2, "--ttl"),
        (["--ttl", "x"], 2, "30m"),
        (["--tenant", "X"], 2, "--tenant"),
        (["--role", "nobody"], 1, "ROLE_NOT_FOUND"),
        (["--tenant", "nowhere"], 1, "TENANT_NOT_FOUND"),
    ],
)
def test_a_first_token_that_cannot_be_is_refused(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    ended = registrar("bootstrap-token", "--data", str(tmp_path / "data"), *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr


def test_the_database_of_a_first_token_is_its_owner_s_alone(tmp_path: Path) -> None:
    first_token(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
