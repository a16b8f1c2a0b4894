"""What a login asks of an identity provider, and what it makes of the answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

import registrar
from registrar import oidc
from registrar.credentials_file import Login
from registrar.oidc import DeviceCode
from tests.fixtures.certificates import Authority
from tests.unit.client.fake_provider import RESOURCE, Provider, serve_provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serve_provider(Provider()) as serving:
        yield serving


def log_in(provider: Provider, waits: list[float] | None = None) -> Login:
    found = oidc.discover(provider.issuer)
    device = oidc.begin(found, "cli", ("openid", "groups"), RESOURCE)
    sleep = (waits if waits is not None else []).append
    return oidc.wait(found, "cli", ("openid", "groups"), RESOURCE, device, sleep=sleep)


def test_a_login_asks_until_the_person_is_done(provider: Provider) -> None:
    provider.polls = ["authorization_pending", "authorization_pending"]
    login = log_in(provider)
    assert (login.access_token, login.refresh_token, login.issuer) == ("access-1", "refresh-1", provider.issuer)
    assert provider.forms_of("/device") == [{"client_id": "cli", "scope": "openid groups", "resource": RESOURCE}]
    assert len(provider.forms_of("/token")) == 3
    assert provider.forms_of("/token")[0] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "device-code",
        "client_id": "cli",
        "resource": RESOURCE,
    }


def test_slow_down_is_obeyed_from_then_on(provider: Provider) -> None:
    provider.polls = ["authorization_pending", "slow_down", "authorization_pending"]
    waits: list[float] = []
    log_in(provider, waits)
    assert [round(after - waits[0]) for after in waits] == [0, 0, 5, 5]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        ("access_denied", registrar.PermissionDenied, "LOGIN_DENIED"),
        ("expired_token", registrar.DeadlineExceeded, "LOGIN_EXPIRED"),
        ("invalid_client", registrar.FailedPrecondition, "LOGIN_REFUSED"),
    ],
)
def test_what_ends_a_login(provider: Provider, error: str, kind: type[registrar.RegistrarError], reason: str) -> None:
    provider.polls = ["authorization_pending", error]
    with pytest.raises(kind) as caught:
        log_in(provider)
    assert caught.value.reason == reason


def test_a_code_that_nobody_enters_expires(provider: Provider) -> None:
    found = oidc.discover(provider.issuer)
    device = DeviceCode("CODE", "https://a.example", "", 0.0, expires_seconds=0.0, code="x")
    with pytest.raises(registrar.DeadlineExceeded):
        oidc.wait(found, "cli", (), "", device)
    assert not provider.forms


def test_a_provider_without_the_device_flow_says_so(provider: Provider) -> None:
    provider.discovery["device_authorization_endpoint"] = None
    with pytest.raises(registrar.FailedPrecondition) as caught:
        log_in(provider)
    assert caught.value.reason == "LOGIN_NOT_OFFERED"


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://id.example/token"},
        {"device_authorization_endpoint": "ftp://127.0.0.1/device"},
        {"token_endpoint": ""},
    ],
)
def test_a_document_that_leads_elsewhere_is_refused(provider: Provider, document: dict[str, object]) -> None:
    provider.discovery = document
    with pytest.raises(registrar.FailedPrecondition) as caught:
        log_in(provider)
    assert caught.value.reason == "PROVIDER_INVALID"
    assert not provider.forms


@pytest.mark.parametrize("issuer", ["http://id.example", "file:///etc", "id.example", ""])
def test_an_issuer_that_is_not_secured_is_refused(issuer: str) -> None:
    with pytest.raises(registrar.FailedPrecondition) as caught:
        oidc.discover(issuer)
    assert caught.value.reason == "PROVIDER_INVALID"


def test_a_redirect_is_not_followed(provider: Provider) -> None:
    provider.answers["/token"] = (302, None)
    with pytest.raises(registrar.FailedPrecondition) as caught:
        log_in(provider)
    assert caught.value.reason == "PROVIDER_INVALID"
    assert not provider.forms_of("/elsewhere")


@pytest.mark.parametrize("answer", [b"<html>", [1], {"access_token": ""}, {"access_token": 3}, {}])
def test_an_answer_that_is_none_is_refused(provider: Provider, answer: object) -> None:
    provider.answers["/token"] = (200, answer)
    with pytest.raises(registrar.FailedPrecondition) as caught:
        log_in(provider)
    assert caught.value.reason == "PROVIDER_INVALID"


def test_what_a_provider_writes_into_an_error_is_not_repeated(provider: Provider) -> None:
    provider.answers["/device"] = (400, {"error": "\x1b]0;title\x07", "error_description": "<script>"})
    with pytest.raises(registrar.FailedPrecondition) as caught:
        log_in(provider)
    assert "\x1b" not in str(caught.value)
    assert "script" not in str(caught.value)


def test_when_nobody_answers_it_is_said_of_whom() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        issuer = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(registrar.Unavailable, match=issuer) as caught:
            oidc.discover(issuer)
    assert caught.value.reason == "IDENTITY_PROVIDER_UNAVAILABLE"


def test_a_login_is_revoked_where_that_is_offered(provider: Provider) -> None:
    login = log_in(provider)
    assert oidc.revoke(login)
    assert provider.forms_of("/revoke") == [
        {"token": "refresh-1", "token_type_hint": "refresh_token", "client_id": "cli"}
    ]
    provider.discovery["revocation_endpoint"] = None
    assert not oidc.revoke(login)
    provider.answers["/.well-known/openid-configuration"] = (500, None)
    assert not oidc.revoke(login)


def test_the_authority_that_the_environment_names_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority()
    monkeypatch.setenv("REGISTRAR_CA", authority.write(tmp_path))
    certificate, key = authority.issue().write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve_provider(Provider(), context) as provider:
        assert oidc.discover(provider.issuer).token_url == f"{provider.issuer}/token"
        monkeypatch.delenv("REGISTRAR_CA")
        with pytest.raises(registrar.Unavailable):
            oidc.discover(provider.issuer)


def test_an_audience_that_is_no_uri_is_not_asked_for(provider: Provider) -> None:
    oidc.begin(oidc.discover(provider.issuer), "cli", ("openid",), "registrar")
    assert provider.forms_of("/device") == [{"client_id": "cli", "scope": "openid"}]
