"""A person logs in with a real identity provider, and a service with a token: the commands and the SDK as users run them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import registrar
from registrar import aio, oidc
from registrar.cli.exits import ExitCode
from registrar.credentials_file import CredentialsFile, Login
from tests.fixtures.guarded import GuardedServer, guarded_server
from tests.fixtures.oidc import DEVICE_CLIENT, OidcProvider
from tests.fixtures.server import clean_environment
from tests.fixtures.stores import wait_until

REGISTRAR = str(Path(sys.executable).parent / "registrar")
SECONDS = 60


@pytest.fixture(scope="module")
def guarded_by_oidc(tmp_path_factory: pytest.TempPathFactory, oidc_provider: OidcProvider) -> Iterator[GuardedServer]:
    """A server that takes the provider's tokens."""
    settings = {
        "REGISTRAR_OIDC_ISSUER": oidc_provider.issuer,
        "REGISTRAR_OIDC_CLIENT_ID": DEVICE_CLIENT,
        "REGISTRAR_LOG_LEVEL": "debug",
    }
    with guarded_server(tmp_path_factory.mktemp("login"), **settings) as server:
        yield server


class Person:
    """Somebody with a shell and a settings folder of their own."""

    def __init__(self, name: str, server: GuardedServer, home: Path) -> None:
        self.name = name
        self.server = server
        self._environment = clean_environment(REGISTRAR_SERVER=server.address, XDG_CONFIG_HOME=str(home))
        self.file = CredentialsFile(home / "registrar" / "credentials.json")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [REGISTRAR, *arguments],
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def log_in(self, provider: OidcProvider, *, is_denied: bool = False) -> tuple[int, str, str]:
        """`registrar login`, with the browser's part done or refused: exit code, stdout, stderr."""
        process = subprocess.Popen(
            [REGISTRAR, "login"], env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        told = ""
        try:
            while not (code := re.search(r"the code (\S+)", told)):
                line = process.stderr.readline()
                assert line, told
                told += line
            provider.deny_device(code[1]) if is_denied else provider.approve_device(code[1], self.name)
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            process.wait()
        return process.returncode, out, told + err

    def be_logged_in(self, provider: OidcProvider) -> None:
        """What `registrar login` leaves, without its waiting."""
        found = oidc.discover(provider.issuer)
        told = (DEVICE_CLIENT, ("openid", "offline_access"), "")
        device = oidc.begin(found, *told)
        provider.approve_device(device.user_code, self.name)
        self.store(oidc.wait(found, *told, device, sleep=lambda _seconds: None))

    @property
    def login(self) -> Login:
        """What is stored."""
        found = self.file.read(self.server.address)
        assert found is not None
        return found

    def store(self, login: Login) -> None:
        """Put another login in its place."""
        self.file.change(self.server.address, lambda _before: login)


@pytest.fixture
def alice(
    guarded_by_oidc: GuardedServer, tmp_path: Path, request: pytest.FixtureRequest, oidc_provider: OidcProvider
) -> Person:
    """Somebody whom no other test knows, with a role in acme."""
    name = f"alice-{abs(hash(request.node.name)) % 10**8}"
    oidc_provider.set_account(name, groups=["risk"])
    with guarded_by_oidc.connect(guarded_by_oidc.admin_secret) as registry:
        registry.bind_role("contributor", f"user:{name}", tenant="acme")
    return Person(name, guarded_by_oidc, tmp_path)


def test_a_person_logs_in_works_and_logs_out(alice: Person, oidc_provider: OidcProvider, tmp_path: Path) -> None:
    before = alice.run("--tenant", "acme", "list")
    assert before.returncode == ExitCode.NOT_ALLOWED
    assert "CREDENTIALS_MISSING" in before.stderr
    code, out, err = alice.log_in(oidc_provider)
    assert (code, out) == (0, f"user:{alice.name} is logged in at {alice.server.address}\n"), err
    caller = json.loads(alice.run("whoami", "--json").stdout)
    assert (caller["actor"], caller["method"], caller["groups"]) == (f"user:{alice.name}", "oidc", ["risk"])
    assert [(held["tenant"], held["role"]) for held in caller["roles"]] == [("acme", "contributor")]
    (tmp_path / "model.bin").write_bytes(bytes(100_000))
    name = f"churn-{alice.name}"
    pushed = alice.run("--tenant", "acme", "push", str(tmp_path / "model.bin"), "--name", name)
    assert (pushed.returncode, pushed.stdout) == (0, f"{name}/1\n"), pushed.stderr
    pulled = alice.run("--tenant", "acme", "pull", f"{name}/1", str(tmp_path / "out"))
    assert (pulled.returncode, pulled.stdout) == (0, f"{name}/1\n"), pulled.stderr
    denied = alice.run("--tenant", "acme", "promote", f"{name}/1", "--to", "staging")
    assert denied.returncode == ExitCode.NOT_ALLOWED
    assert "who administers tenant acme can give it" in denied.stderr
    login = alice.login
    assert alice.run("logout").stdout == f"logged out at {alice.server.address}\n"
    assert alice.file.read(alice.server.address) is None
    with pytest.raises(registrar.Unauthenticated):
        oidc.refreshed(login)


def test_a_denied_login_leaves_nothing(alice: Person, oidc_provider: OidcProvider) -> None:
    code, out, err = alice.log_in(oidc_provider, is_denied=True)
    assert (code, out) == (ExitCode.NOT_ALLOWED, "")
    assert "the login was denied" in err
    assert alice.file.read(alice.server.address) is None


def test_tokens_that_do_not_last_are_refreshed_by_themselves(
    alice: Person, oidc_provider: OidcProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    oidc_provider.set_account(alice.name, access_token_seconds=5)
    alice.be_logged_in(oidc_provider)
    tokens = {alice.login.access_token}
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with registrar.connect(alice.server.address, tenant="acme") as registry:
        assert registry.caller().actor == f"user:{alice.name}"
        tokens.add(alice.login.access_token)
    assert alice.run("whoami").returncode == 0
    tokens.add(alice.login.access_token)
    assert len(tokens) == 3

    async def calls() -> str:
        async with aio.connect(alice.server.address, tenant="acme") as registry:
            return (await registry.caller()).actor

    assert asyncio.run(calls()) == f"user:{alice.name}"


def test_who_was_sent_away_and_may_come_back_goes_on_with_a_new_token(
    alice: Person, oidc_provider: OidcProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alice.be_logged_in(oidc_provider)
    before = alice.login.access_token
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with (
        registrar.connect(alice.server.address, tenant="acme") as registry,
        alice.server.connect(alice.server.admin_secret) as admin,
    ):
        registry.caller()
        admin.revoke_sessions(f"user:{alice.name}")

        def has_another() -> bool:
            # Tokens tell the second in which they were issued: those of the second of the revocation are refused as well.
            with suppress(registrar.Unauthenticated):
                registry.caller()
                return alice.login.access_token != before
            return False

        wait_until(has_another, SECONDS)


def test_a_stolen_refresh_token_that_was_used_ends_the_login(alice: Person, oidc_provider: OidcProvider) -> None:
    alice.be_logged_in(oidc_provider)
    stale = alice.login
    alice.store(Login(stale.issuer, stale.client_id, "not-a-token", 0.0, "not-a-refresh-token"))
    done = alice.run("whoami")
    assert done.returncode == ExitCode.NOT_ALLOWED
    assert "try: `registrar login`" in done.stderr
    assert "not-a-" not in done.stderr


def test_a_service_works_with_a_token_until_it_is_revoked(alice: Person) -> None:
    admin = {"REGISTRAR_TOKEN": alice.server.admin_secret}
    made = alice.run("--tenant", "acme", "token", "create", "ci", "--role", "reader", "--json", **admin)
    token = json.loads(made.stdout)
    service = {"REGISTRAR_TOKEN": token["secret"]}
    assert alice.run("whoami", **service).stdout.startswith("service:ci\n")
    assert alice.run("--tenant", "acme", "list", **service).returncode == 0
    revoked = alice.run("--tenant", "acme", "token", "revoke", token["id"], **admin)
    assert revoked.returncode == 0, revoked.stderr
    wait_until(lambda: alice.run("whoami", **service).returncode == ExitCode.NOT_ALLOWED, SECONDS)
    listed = alice.run("--tenant", "acme", "token", "list", "--ended", **admin).stdout
    assert token["id"] in listed
    assert token["secret"] not in listed


def test_a_tenant_and_its_roles_are_made_by_commands(alice: Person, oidc_provider: OidcProvider) -> None:
    admin = {"REGISTRAR_TOKEN": alice.server.admin_secret}
    tenant = f"t-{alice.name}"

    def command(*arguments: str) -> str:
        done = alice.run(*arguments, **admin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command("tenant", "create", tenant, "--quota", "models=1", "--quota", "bytes=1GB")
    command("--tenant", tenant, "role", "create", "releaser", "--grant", "register", "--grant", "promote:staging")
    command("--tenant", tenant, "role", "update", "releaser", "--grant", "read", "--grant", "promote:staging")
    bound = json.loads(
        command("--tenant", tenant, "role", "bind", "releaser", f"user:{alice.name}", "--models", "churn-*", "--json")
    )
    alice.be_logged_in(oidc_provider)
    held = json.loads(alice.run("whoami", "--json").stdout)["roles"]
    assert [(role["tenant"], role["model_pattern"]) for role in held if role["role"] == "releaser"] == [
        (tenant, "churn-*")
    ]
    command("--tenant", tenant, "role", "unbind", bound["id"])
    command("--tenant", tenant, "role", "delete", "releaser")
    assert "models" in command("tenant", "show", tenant)
    assert command("tenant", "suspend", tenant) == f"tenant {tenant} is suspended\n"
    assert command("tenant", "resume", tenant) == f"tenant {tenant} is active\n"
    assert f"tenant {tenant} is deleted" in command("tenant", "delete", tenant)
    assert command("tenant", "undelete", tenant) == f"tenant {tenant} is active\n"


def test_no_token_is_in_the_servers_log(alice: Person, oidc_provider: OidcProvider) -> None:
    alice.be_logged_in(oidc_provider)
    assert alice.run("whoami").returncode == 0
    log = "\n".join(alice.server.server.log_lines)
    for secret in (alice.login.access_token, alice.login.refresh_token, alice.server.admin_secret):
        assert secret not in log
