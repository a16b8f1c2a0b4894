"""The file that logins are kept in: who may read it, what is in it, and who refreshes what it holds."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import registrar
from registrar.credentials_file import CredentialsFile, Login, credentials_path
from registrar.logins import tokens_of_login
from registrar.retry import RetryPolicy
from registrar.tokens import Token, Tokens
from tests.unit.client.fake_access import Access
from tests.unit.client.fake_provider import RESOURCE, Provider, serve_provider

SERVER = "registry.example:443"
AT_ONCE = RetryPolicy(initial_seconds=0.0, maximum_seconds=0.0)


@pytest.fixture
def file() -> CredentialsFile:
    return CredentialsFile()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serve_provider(Provider()) as serving:
        yield serving


def login(
    provider: Provider | None = None, *, seconds: float | None = 3600.0, refresh_token: str = "refresh-0"
) -> Login:
    return Login(
        issuer=provider.issuer if provider else "https://id.example",
        client_id="registrar-cli",
        access_token="access-0",
        expire_time=None if seconds is None else time.time() + seconds,
        refresh_token=refresh_token,
        scopes=("openid", "groups"),
        audience=RESOURCE,
    )


def store(file: CredentialsFile, login: Login | None, server: str = SERVER) -> None:
    file.change(server, lambda _before: login)


def tokens(file: CredentialsFile) -> Tokens:
    found = tokens_of_login(SERVER, file)
    assert found is not None
    return found


def text(token: Token) -> str:
    return token.metadata[0][1].removeprefix("Bearer ")


def test_it_lies_where_settings_of_a_person_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert credentials_path() == tmp_path / "config" / "registrar" / "credentials.json"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert credentials_path() == tmp_path / ".config" / "registrar" / "credentials.json"


def test_what_is_stored_comes_back(file: CredentialsFile) -> None:
    assert file.read(SERVER) is None
    first, other = login(), login(seconds=None, refresh_token="")
    store(file, first)
    store(file, other, "other.example:1")
    assert (file.read(SERVER), file.read("other.example:1")) == (first, other)
    store(file, None)
    assert (file.read(SERVER), file.read("other.example:1")) == (None, other)


def test_nobody_else_can_read_it_whatever_the_mask(file: CredentialsFile) -> None:
    before = os.umask(0)
    try:
        store(file, login())
    finally:
        os.umask(before)
    path = credentials_path()
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in (path, *path.parent.iterdir(), path.parent)}
    assert modes == {"credentials.json": 0o600, "credentials.lock": 0o600, "registrar": 0o700}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_one_that_others_can_read_is_refused(file: CredentialsFile, mode: int) -> None:
    store(file, login())
    credentials_path().chmod(mode)
    for use in (lambda: file.read(SERVER), lambda: store(file, None), lambda: registrar.connect("grpcs://a.example")):
        with pytest.raises(registrar.FailedPrecondition, match="chmod 600") as caught:
            use()
        assert caught.value.reason == "CREDENTIALS_FILE_EXPOSED"
    assert "access-0" in credentials_path().read_text()


def test_a_link_is_not_followed(file: CredentialsFile, tmp_path: Path) -> None:
    store(file, login())
    path = credentials_path()
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(registrar.FailedPrecondition) as caught:
        file.read(SERVER)
    assert caught.value.reason == "CREDENTIALS_FILE_UNUSABLE"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 2, "servers": {}}',
        '{"format": 1, "servers": {"a": {"access_token": "very-secret"}}}',
        '{"format": 1, "servers": [1]}',
        "\x00\xff",
    ],
)
def test_one_that_cannot_be_understood_is_refused_and_kept(file: CredentialsFile, content: str) -> None:
    store(file, login())
    credentials_path().write_text(content, encoding="latin-1")
    with pytest.raises(registrar.FailedPrecondition) as caught:
        store(file, None)
    assert caught.value.reason == "CREDENTIALS_FILE_CORRUPT"
    assert "very-secret" not in repr(caught.value)
    assert credentials_path().read_text(encoding="latin-1") == content


def test_entries_of_another_type_are_refused(file: CredentialsFile) -> None:
    store(file, login())
    document = json.loads(credentials_path().read_text())
    document["servers"][SERVER]["refresh_token"] = 7
    credentials_path().write_text(json.dumps(document))
    with pytest.raises(registrar.FailedPrecondition):
        file.read(SERVER)


def test_a_change_that_fails_leaves_what_was_there(file: CredentialsFile) -> None:
    store(file, login())
    before = file.read(SERVER)

    def fail(_login: Login | None) -> Login | None:
        raise LookupError

    with suppress(LookupError):
        file.change(SERVER, fail)
    assert file.read(SERVER) == before
    assert {path.name for path in credentials_path().parent.iterdir()} == {"credentials.json", "credentials.lock"}


def test_changes_at_the_same_time_all_stay(file: CredentialsFile) -> None:
    def one(number: int) -> None:
        store(CredentialsFile(), login(), f"server-{number}:1")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(file.read(f"server-{number}:1") for number in range(8))


def test_a_login_is_not_shown() -> None:
    assert "access-0" not in repr(login())
    assert "refresh-0" not in repr(login())


def test_calls_show_the_token_of_the_login_at_their_server(file: CredentialsFile, target: str, access: Access) -> None:
    access.accepted = {"access-0"}
    store(file, login(), target)
    with registrar.connect(f"grpc://{target}") as registry:
        registry.server_info()
    with registrar.connect(target, token="") as registry, pytest.raises(registrar.Unauthenticated):
        registry.server_info()


def test_a_token_that_is_about_to_end_is_refreshed_and_stored(file: CredentialsFile, provider: Provider) -> None:
    store(file, login(provider, seconds=5))
    assert text(tokens(file).get()) == "access-1"
    stored = file.read(SERVER)
    assert stored is not None
    assert (stored.access_token, stored.refresh_token) == ("access-1", "refresh-1")
    assert stored.expire_time == pytest.approx(time.time() + 3600, abs=60)
    (form,) = provider.forms_of("/token")
    assert form == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-0",
        "client_id": "registrar-cli",
        "resource": RESOURCE,
    }


def test_a_refused_token_is_refreshed_however_long_it_would_hold(
    file: CredentialsFile, provider: Provider, target: str, access: Access
) -> None:
    access.accepted = {"access-1"}
    store(file, login(provider), target)
    with registrar.connect(target, retry=AT_ONCE) as registry:
        registry.server_info()
    assert access.tokens_of("GetServerInfo") == ["access-0", "access-1"]


def test_what_another_process_has_refreshed_is_used(file: CredentialsFile, provider: Provider) -> None:
    store(file, login(provider))
    mine = tokens(file)
    first = mine.get()
    store(file, Login("https://id.example", "registrar-cli", "of-another", time.time() + 3600, "refresh-9"))
    assert mine.refuse(first)
    assert text(mine.get()) == "of-another"
    assert not provider.forms


def test_a_refresh_that_is_refused_ends_the_login(file: CredentialsFile, provider: Provider) -> None:
    store(file, login(provider, seconds=-5, refresh_token="stolen"))
    with pytest.raises(registrar.Unauthenticated) as caught:
        tokens(file).get()
    assert caught.value.reason == "LOGIN_ENDED"
    assert "stolen" not in repr(caught.value)
    assert file.read(SERVER) is not None


def test_a_login_without_a_refresh_token_lasts_as_long_as_its_token(file: CredentialsFile, provider: Provider) -> None:
    store(file, login(provider, seconds=20, refresh_token=""))
    assert text(tokens(file).get()) == "access-0"
    store(file, login(provider, seconds=-1, refresh_token=""))
    with pytest.raises(registrar.Unauthenticated) as caught:
        tokens(file).get()
    assert caught.value.reason == "LOGIN_ENDED"


def test_while_the_provider_is_away_a_token_is_used_to_its_end(file: CredentialsFile, provider: Provider) -> None:
    provider.answers["/token"] = (503, None)
    store(file, login(provider, seconds=20))
    assert text(tokens(file).get()) == "access-0"
    store(file, login(provider, seconds=-1))
    with pytest.raises(registrar.Unavailable) as caught:
        tokens(file).get()
    assert caught.value.reason == "IDENTITY_PROVIDER_UNAVAILABLE"


def test_who_has_logged_out_meanwhile_is_told(file: CredentialsFile, provider: Provider) -> None:
    store(file, login(provider))
    mine = tokens(file)
    store(file, None)
    with pytest.raises(registrar.Unauthenticated) as caught:
        mine.get()
    assert caught.value.reason == "LOGIN_ENDED"


REFRESH = f"""
import sys
from registrar.logins import tokens_of_login
tokens = tokens_of_login({SERVER!r})
print("ready", flush=True)
sys.stdin.readline()
print(tokens.get().metadata[0][1], flush=True)
"""


def test_of_two_processes_one_refreshes(file: CredentialsFile, provider: Provider) -> None:
    both = threading.Barrier(2)

    def meet() -> None:
        # Whoever comes second would meet the first here; nobody does.
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.5)

    provider.refreshing = meet
    store(file, login(provider, seconds=-5))
    processes = [
        subprocess.Popen([sys.executable, "-c", REFRESH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        shown = [process.communicate(timeout=30)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert shown == ["Bearer access-1\n"] * 2
    assert len(provider.forms_of("/token")) == 1
