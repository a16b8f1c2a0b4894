"""`login`, `whoami`, `role`, `token` and `tenant`: what they print, where, and how they end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from registrar.cli import main
from registrar.cli.exits import ExitCode
from registrar.cli.text import ahead
from registrar.credentials_file import CredentialsFile, Login, credentials_path
from registrar.v1 import access_pb2, tenant_pb2, token_pb2
from registrar.v1 import admin_service_pb2 as pb
from tests.unit.client.fake_access import Access
from tests.unit.client.fake_provider import RESOURCE, Provider, serve_provider
from tests.unit.client.fake_state import Failure, State

Run = Callable[..., tuple[int, str, str]]
BINDING = f"{1:032x}"


@pytest.fixture
def run(target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("REGISTRAR_SERVER", target)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def provider(access: Access) -> Iterator[Provider]:
    """What the registry names for logins."""
    with serve_provider(Provider()) as serving:
        access.login = pb.GetLoginOptionsResponse(
            is_authentication_required=True,
            oidc_issuer=serving.issuer,
            oidc_client_id="registrar-cli",
            oidc_scopes=["openid", "groups"],
            oidc_audience=RESOURCE,
        )
        access.caller = pb.GetCallerResponse(actor="user:alice", method="oidc", tenant="acme", groups=["risk"])
        access.accepted = {"access-1", "access-2"}
        yield serving


class TestLogin:
    def test_it_shows_where_to_enter_what_and_keeps_the_login(
        self, run: Run, target: str, provider: Provider, access: Access
    ) -> None:
        code, out, err = run("login")
        assert (code, out) == (0, f"user:alice is logged in at {target}\n")
        assert err.splitlines() == [
            f"Open {provider.issuer}/enter",
            "and enter the code BDWP-HQPK",
            f"or open {provider.issuer}/enter?code=BDWP-HQPK",
        ]
        stored = CredentialsFile().read(target)
        assert stored is not None
        assert (stored.access_token, stored.refresh_token, stored.client_id) == (
            "access-1",
            "refresh-1",
            "registrar-cli",
        )
        assert (stored.scopes, stored.audience) == (("openid", "groups"), RESOURCE)
        assert provider.forms_of("/device")[0]["resource"] == RESOURCE
        code, out, _ = run("whoami")
        assert (code, out.splitlines()[0]) == (0, "user:alice")
        assert access.tokens_of("GetCaller") == ["access-1"] * 2
        assert access.tokens_of("GetLoginOptions") == [""]

    def test_json_is_one_document_without_a_token(self, run: Run, target: str, provider: Provider) -> None:
        code, out, err = run("login", "--json")
        found = json.loads(out)
        assert (code, found["server"], found["caller"]["actor"]) == (0, target, "user:alice")
        assert found["file"] == str(credentials_path())
        assert "access-" not in out + err
        assert "refresh-" not in out + err

    def test_a_denied_login_stores_nothing(self, run: Run, provider: Provider, target: str) -> None:
        provider.polls = ["access_denied"]
        code, _, err = run("login")
        assert (code, CredentialsFile().read(target)) == (ExitCode.NOT_ALLOWED, None)
        assert "the login was denied" in err

    def test_a_token_that_the_registry_does_not_take_is_not_stored(
        self, run: Run, provider: Provider, target: str, access: Access
    ) -> None:
        access.accepted = set()
        code, _, err = run("login")
        assert (code, CredentialsFile().read(target)) == (ExitCode.NOT_ALLOWED, None)
        assert "access-1" not in err

    @pytest.mark.parametrize(("required", "said"), [(True, "takes no logins"), (False, "asks nobody who they are")])
    def test_where_there_is_none_that_is_said(self, run: Run, access: Access, required: bool, said: str) -> None:
        access.login = pb.GetLoginOptionsResponse(is_authentication_required=required)
        code, _, err = run("login")
        assert code == ExitCode.REFUSED
        assert said in err
        assert "REGISTRAR_TOKEN" in err

    def test_where_it_cannot_be_kept_nobody_is_sent_anywhere(self, run: Run, provider: Provider) -> None:
        credentials_path().parent.parent.joinpath("registrar").write_text("a file in the way")
        code, _, err = run("login")
        assert code == ExitCode.REFUSED
        assert "CREDENTIALS_FILE_UNUSABLE" in err
        assert not provider.forms

    def test_over_a_network_without_tls_nobody_is_sent_anywhere(self, run: Run) -> None:
        code, _, err = run("--server", "registry.example:50051", "login")
        assert code == ExitCode.REFUSED
        assert "INSECURE_CHANNEL" in err
        assert "grpcs://" in err

    def test_a_token_in_the_environment_comes_first_and_that_is_said(
        self, run: Run, provider: Provider, access: Access, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REGISTRAR_TOKEN", "access-2")
        assert "note: REGISTRAR_TOKEN is set" in run("login")[2]
        run("whoami")
        assert access.tokens_of("GetCaller") == ["access-1", "access-2"]

    def test_logging_out_forgets_here_and_there(self, run: Run, provider: Provider, target: str) -> None:
        run("login")
        assert run("logout") == (0, f"logged out at {target}\n", "")
        assert provider.forms_of("/revoke")[0]["token"] == "refresh-1"
        assert "refresh-1" not in credentials_path().read_text()
        assert run("logout") == (0, f"nobody is logged in at {target}\n", "")

    def test_logging_out_works_while_the_provider_is_away(self, run: Run, provider: Provider, target: str) -> None:
        run("login")
        provider.answers["/revoke"] = (503, None)
        code, out, _ = run("logout", "--json")
        assert (code, json.loads(out)) == (0, {"server": target, "was_logged_in": True, "is_revoked": False})
        assert CredentialsFile().read(target) is None

    def test_a_login_that_has_ended_says_what_to_do(self, run: Run, provider: Provider, target: str) -> None:
        ended = Login(provider.issuer, "registrar-cli", "old", time.time() - 5, "not-this-one")
        CredentialsFile().change(target, lambda _before: ended)
        code, _, err = run("list")
        assert code == ExitCode.NOT_ALLOWED
        assert "try: `registrar login`" in err
        assert "not-this-one" not in err

    def test_a_call_without_credentials_says_what_to_do(self, run: Run, access: Access) -> None:
        access.accepted = set()
        code, _, err = run("list")
        assert code == ExitCode.NOT_ALLOWED
        assert "try: `registrar login`, or set REGISTRAR_TOKEN" in err


def test_whoami_shows_what_one_may_do_where(run: Run, access: Access) -> None:
    held = pb.HeldRole(tenant="*", role="reader", model_pattern="churn-*")
    held.grants.add(right=access_pb2.RIGHT_READ)
    held.expire_time.seconds = int(time.time()) + 7300
    access.caller = pb.GetCallerResponse(
        actor="user:alice", method="oidc", tenant="acme", groups=["risk", "ml"], roles=[held]
    )
    lines = run("whoami")[1].splitlines()
    assert lines[0] == "user:alice"
    assert "  groups     risk, ml" in lines
    assert lines[-1].split() == ["reader", "all", "tenants", "churn-*", "in", "2", "hours", "read"]
    assert run("whoami", "--json")[0] == 0


class TestRoles:
    @pytest.fixture(autouse=True)
    def made(self, run: Run) -> None:
        grants = ("--grant", "read", "--grant", "promote:staging", "--grant", "move_alias:champion,canary-*")
        code, out, _ = run("role", "create", "releaser", *grants, "-d", "Releases")
        assert (code, out.splitlines()[0]) == (0, "releaser  of default")

    def test_grants_are_read_and_written_the_same_way(self, run: Run) -> None:
        lines = run("role", "show", "releaser")[1].splitlines()
        assert lines[-3:] == ["  read", "  promote:staging", "  move_alias:champion,canary-*"]
        row = run("role", "list")[1].splitlines()[1]
        assert "read promote:staging move_alias:champion,canary-*" in row

    def test_only_what_is_named_changes(self, run: Run) -> None:
        found = json.loads(run("role", "update", "releaser", "--grant", "approve:risk,legal", "--json")[1])
        assert found["description"] == "Releases"
        assert found["grants"] == [
            {"right": "approve", "stages": [], "alias_patterns": [], "approver_roles": ["risk", "legal"]}
        ]
        assert run("role", "update", "releaser")[0] == ExitCode.USAGE

    @pytest.mark.parametrize(
        "grant", ["fly", "read:churn", "promote:prod", "promote:", "", "move_alias:,", "promote=staging"]
    )
    def test_a_grant_that_is_none_is_refused(self, run: Run, state: State, grant: str) -> None:
        before = len(state.requests)
        assert run("role", "create", "other", "--grant", grant)[0] == ExitCode.USAGE
        assert len(state.requests) == before

    def test_a_role_without_a_grant_is_refused(self, run: Run) -> None:
        assert run("role", "create", "other")[0] == ExitCode.USAGE

    def test_a_role_is_given_listed_and_taken(self, run: Run) -> None:
        bind = ("role", "bind", "releaser", "group:ml", "--models", "churn-*", "--ttl", "8h", "--tenant", "*")
        code, out, _ = run(*bind, "-m", "on call")
        said = f"group:ml is releaser of churn-* in all tenants; it ends in 8 hours; id {BINDING}\n"
        assert (code, out) == (0, said)
        row = run("role", "bindings", "--member", "group:ml")[1].splitlines()[1]
        assert row.split()[:4] == [BINDING, "group:ml", "releaser", "churn-*"]
        assert "all tenants" in row
        assert row.endswith("on call")
        assert run("role", "unbind", BINDING)[:2] == (0, f"the binding {BINDING} is gone\n")
        assert run("role", "bindings")[1] == "Nobody has a role by a binding here.\n"
        code, _, err = run("role", "unbind", BINDING)
        assert code == ExitCode.NOT_FOUND
        assert "`registrar role bindings`" in err

    @pytest.mark.parametrize("ttl", ["8", "h", "-1h", "1w", "0d", "1.5h"])
    def test_a_time_that_is_none_is_refused(self, run: Run, ttl: str) -> None:
        assert run("role", "bind", "releaser", "user:bob", "--ttl", ttl)[0] == ExitCode.USAGE

    def test_a_role_is_deleted_without_a_question_in_a_script(self, run: Run, access: Access) -> None:
        assert run("role", "delete", "releaser")[:2] == (0, "the role releaser is gone\n")
        assert not access.roles


class TestTokens:
    def test_the_secret_stands_alone_on_stdout(self, run: Run, access: Access) -> None:
        code, out, err = run("token", "create", "ci", "--role", "contributor", "--ttl", "30d", "-d", "pipeline")
        assert (code, out) == (0, f"rgt_{BINDING}\n")
        assert "service:ci has the role contributor until" in err
        assert "rgt_" not in err
        assert access.tokens[BINDING].description == "pipeline"

    def test_a_repeated_call_says_that_the_secret_was_shown_before(self, run: Run, state: State) -> None:
        made = token_pb2.ApiToken(id=BINDING, name="ci", role="reader")
        state.replies["once"] = pb.CreateTokenResponse(token=made)
        code, out, err = run("token", "create", "ci", "--role", "reader", "--request-id", "once")
        assert (code, out) == (0, "")
        assert "shown then" in err

    def test_json_holds_the_secret_once(self, run: Run) -> None:
        made = json.loads(run("token", "create", "ci", "--role", "reader", "--json")[1])
        assert made["secret"] == f"rgt_{BINDING}"
        listed = json.loads(run("token", "list", "--json")[1])["tokens"]
        assert [(found["id"], found["secret"]) for found in listed] == [(BINDING, "")]

    def test_tokens_are_listed_and_revoked(self, run: Run) -> None:
        run("token", "create", "ci", "--role", "reader", "--models", "churn-*")
        assert run("token", "list")[1].splitlines()[1].split()[:4] == [BINDING, "ci", "reader", "churn-*"]
        assert run("token", "revoke", BINDING)[:2] == (0, f"token {BINDING} of service:ci is revoked\n")
        assert run("token", "list")[1] == "There are no tokens.\n"
        assert "revoked" in run("token", "list", "--ended")[1]

    def test_sessions_are_revoked(self, run: Run) -> None:
        code, out, _ = run("token", "revoke-sessions", "user:bob")
        assert (code, out) == (
            0,
            "user:bob has to log in again: what was issued up to 2025-10-09 08:53 UTC is refused\n",
        )


class TestTenants:
    @pytest.fixture(autouse=True)
    def made(self, run: Run) -> None:
        quotas = ("--quota", "models=100", "--quota", "bytes=2TiB")
        assert run("tenant", "create", "acme", *quotas, "-d", "Acme Corp")[0] == 0

    def test_what_it_holds_stands_beside_what_it_may_hold(self, run: Run) -> None:
        lines = run("tenant", "show", "acme")[1].splitlines()
        assert lines[:2] == ["acme  active", "Acme Corp"]
        assert [line.split() for line in lines[-4:]] == [
            ["models", "3", "100"],
            ["versions", "7", "-"],
            ["bytes", "5.0", "GiB", "2.0", "TiB"],
            ["transfers", "0", "-"],
        ]
        assert "100 models, 2.0 TiB" in run("tenant", "list")[1]

    def test_quotas_that_are_not_named_stay(self, run: Run, access: Access, state: State) -> None:
        assert run("tenant", "update", "acme", "--quota", "models=none", "--quota", "concurrent_transfers=4")[0] == 0
        kept = access.tenants["acme"].quotas
        assert (kept.HasField("models"), kept.bytes, kept.concurrent_transfers) == (False, 2 << 40, 4)
        assert state.seen(pb.UpdateTenantRequest)[0].etag == "r1"
        assert run("tenant", "update", "acme", "-d", "Other")[0] == 0
        assert access.tenants["acme"].quotas.bytes == 2 << 40
        assert run("tenant", "update", "acme")[0] == ExitCode.USAGE

    @pytest.mark.parametrize("quota", ["models", "models=-1", "models=many", "disks=1", "bytes=1XB", "bytes=1.5TB"])
    def test_a_quota_that_is_none_is_refused(self, run: Run, quota: str) -> None:
        assert run("tenant", "create", "other", "--quota", quota)[0] == ExitCode.USAGE

    def test_it_is_suspended_resumed_deleted_and_brought_back(self, run: Run) -> None:
        assert run("tenant", "suspend", "acme")[:2] == (0, "tenant acme is suspended\n")
        assert run("tenant", "resume", "acme")[:2] == (0, "tenant acme is active\n")
        code, out, _ = run("tenant", "delete", "acme", "--force")
        back = "`registrar tenant undelete acme` brings it back until 2025-10-10 08:53 UTC"
        assert (code, out) == (0, f"tenant acme is deleted; {back}\n")
        assert "deleted" in run("tenant", "list", "--deleted")[1]
        assert run("tenant", "undelete", "acme", "--json")[0] == 0

    def test_a_name_that_is_taken_says_how_to_get_it_back(self, run: Run) -> None:
        code, _, err = run("tenant", "create", "acme")
        assert code == ExitCode.CONFLICT
        assert "`registrar tenant undelete acme`" in err


@pytest.mark.parametrize(("answer", "is_done"), [("n\n", False), ("y\n", True)], ids=["said no", "said yes"])
def test_a_person_is_asked_before_a_tenant_is_suspended(
    target: str, access: Access, answer: str, is_done: bool
) -> None:
    access.tenants["acme"] = tenant_pb2.Tenant(name="acme", state=tenant_pb2.TENANT_STATE_ACTIVE)
    ours, theirs = pty.openpty()
    script = "import sys; from registrar.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "tenant", "suspend", "acme"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "REGISTRAR_SERVER": target},
        text=True,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "Suspend the tenant acme?" in err
    suspended = access.tenants["acme"].state == tenant_pb2.TENANT_STATE_SUSPENDED
    assert (suspended, process.returncode) == (is_done, 0 if is_done else ExitCode.INTERRUPTED)


def test_a_missing_right_names_who_could_help(run: Run, state: State) -> None:
    state.fail_next(
        "ListRoles", Failure(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", metadata={"tenant": "acme"})
    )
    code, _, err = run("role", "list")
    assert code == ExitCode.NOT_ALLOWED
    assert "who administers tenant acme can give it" in err


def test_a_used_up_quota_is_told(run: Run, state: State, bundle: Path) -> None:
    exceeded = error_details_pb2.QuotaFailure()
    exceeded.violations.add(subject="tenant:acme", description="at most 3 models")
    failure = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", (exceeded,))
    state.fail_next("CreateUpload", failure)
    code, _, err = run("push", bundle, "--name", "churn")
    assert code == ExitCode.REFUSED
    assert "tenant:acme: at most 3 models" in err
    assert "ask who runs the registry for more" in err


def test_times_to_come_are_told_as_those_that_went() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    spans = (0.1, 50, 3594, 28_764, 86_040, 43_200_000)
    assert [ahead(now + timedelta(seconds=seconds), now) for seconds in spans] == [
        "in 1 second",
        "in 50 seconds",
        "in 1 hour",
        "in 8 hours",
        "in 1 day",
        "in 1 year",
    ]
    assert ahead(now - timedelta(hours=2), now) == "2 hours ago"
