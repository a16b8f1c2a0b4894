"""Providers that answer badly, slowly, or from where they should not: no key of theirs is taken, and nothing hangs."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3

from registrar_server.adapters.oidc import OidcSettings, OidcVerifier
from registrar_server.adapters.oidc.provider import Provider, ProviderUnreachable
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.certificates import Authority
from tests.fixtures.oidc_keys import AUDIENCE, DISCOVERY, JWKS, KeyServer, key_server, signing_key

KEY = signing_key("P-256")
NOTHING = json.dumps({"keys": []}).encode()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as started:
        started.publish(KEY)
        yield started


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls_server(authority: Authority, tmp_path: Path) -> Iterator[KeyServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue().write(tmp_path))
    with key_server(context) as started:
        started.publish(KEY)
        yield started


def provider_of(server: KeyServer, issuer: str = "", ca_file: str = "") -> Provider:
    return Provider(OidcSettings(issuer or server.issuer, AUDIENCE, ca_file=ca_file))


def problem(provider: Provider) -> str:
    with pytest.raises(ProviderUnreachable) as caught:
        provider.fetch_keys()
    return str(caught.value)


def test_keys_are_found_by_discovery(server: KeyServer) -> None:
    assert provider_of(server).fetch_keys().knows(KEY.id)
    assert dict(server.requests) == {DISCOVERY: 1, JWKS: 1}


def test_an_issuer_may_have_a_path_and_a_slash_behind(server: KeyServer) -> None:
    for issuer, path in ((server.issuer + "/", DISCOVERY), (server.issuer + "/realms/ml", "/realms/ml" + DISCOVERY)):
        server.answers[path] = 200, {}, json.dumps({"issuer": issuer, "jwks_uri": server.issuer + JWKS}).encode()
        assert provider_of(server, issuer).fetch_keys().knows(KEY.id)


@pytest.mark.parametrize("issuer", ["https://idp.example.com", "", None, "{}/"])
def test_the_document_of_another_issuer_is_refused(server: KeyServer, issuer: str | None) -> None:
    server.facts["issuer"] = issuer and issuer.replace("{}", server.issuer)
    assert problem(provider_of(server)) == "its discovery document names another issuer"
    assert server.requests[JWKS] == 0


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        5,
        ["https://idp.example.com/keys"],
        "/keys",
        "http://idp.example.com/keys",
        "http://127.0.0.1.example.com/keys",
        "http://user@example.com:127/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "http://[::1/keys",
    ],
)
def test_keys_come_by_https_or_from_loopback(server: KeyServer, address: object) -> None:
    server.facts["jwks_uri"] = address
    assert problem(provider_of(server)) == "its discovery document names no https address of keys"


def test_an_issuer_with_tls_has_keys_with_tls(tls_server: KeyServer, server: KeyServer, tmp_path: Path) -> None:
    tls_server.facts["jwks_uri"] = server.issuer + JWKS
    provider = provider_of(tls_server, ca_file=str(tmp_path / "ca.pem"))
    assert problem(provider) == "its discovery document names no https address of keys"
    assert not server.requests


@pytest.fixture(autouse=True)
def _written_authority(authority: Authority, tmp_path: Path) -> None:
    authority.write(tmp_path)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, {}, NOTHING), "it answers with status 404"),
        ((500, {}, NOTHING), "it answers with status 500"),
        ((302, {"Location": "/elsewhere"}, b""), "it answers with status 302"),
        ((200, {}, b""), "its answer is no JSON"),
        ((200, {}, b"<html>"), "its answer is no JSON"),
        ((200, {}, b"\xff\xfe"), "its answer is no JSON"),
        ((200, {}, b"[" * 200_000), "its answer is no JSON"),
        ((200, {}, b" " * ((1 << 20) + 1)), "its answer is longer than 1 MiB"),
        ((200, {"Content-Length": "100"}, b"{}"), "it does not answer (ProtocolError)"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}")), "its answer is no JSON"),
    ],
)
@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
def test_an_answer_that_cannot_be_used_brings_no_keys(
    server: KeyServer, path: str, answer: tuple[int, Mapping[str, str], bytes], why: str
) -> None:
    server.answers[path] = (answer[0], {**answer[1], "Connection": "close"}, answer[2])
    server.answers["/elsewhere"] = 200, {}, json.dumps({"keys": [KEY.jwk]}).encode()
    assert problem(provider_of(server)) == why
    assert server.requests["/elsewhere"] == 0


@pytest.mark.parametrize("document", [[], {}, {"keys": {}}, {"keys": "x"}, 5, None])
def test_what_is_no_key_set_is_refused(server: KeyServer, document: object) -> None:
    server.answers[JWKS] = 200, {}, json.dumps(document).encode()
    assert problem(provider_of(server)) == "its keys cannot be read"


def test_a_provider_that_is_silent_is_given_up(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registrar_server.adapters.oidc.provider._TIMEOUT_SECONDS", 0.1)
    server.flowing.clear()
    assert problem(provider_of(server)) == "it does not answer (ReadTimeoutError)"


def test_an_answer_that_trickles_is_given_up(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registrar_server.adapters.oidc.provider._ANSWER_SECONDS", -1.0)
    assert problem(provider_of(server)) == "its answer takes too long"


def test_nobody_listens(server: KeyServer) -> None:
    with key_server() as gone:
        issuer = gone.issuer
    assert problem(provider_of(server, issuer)) == "it does not answer (NewConnectionError)"


def test_with_tls_the_certificate_must_be_signed_by_who_is_trusted(tls_server: KeyServer, tmp_path: Path) -> None:
    assert provider_of(tls_server, ca_file=str(tmp_path / "ca.pem")).fetch_keys().knows(KEY.id)
    other = Authority("Somebody else").write(tmp_path, "other")
    for untrusting in (provider_of(tls_server), provider_of(tls_server, ca_file=other)):
        assert problem(untrusting) == "it does not answer (SSLError)"


def test_with_tls_the_certificate_must_be_for_the_host(authority: Authority, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(names=()).write(tmp_path, "nameless"))
    with key_server(context) as server:
        assert problem(provider_of(server, ca_file=str(tmp_path / "ca.pem"))) == "it does not answer (SSLError)"


class TestProxies:
    @pytest.fixture(autouse=True)
    def _dead_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")

    def test_loopback_is_asked_directly(self, server: KeyServer) -> None:
        assert provider_of(server).fetch_keys().knows(KEY.id)

    def test_others_are_asked_through_the_proxy(self, server: KeyServer) -> None:
        assert problem(provider_of(server, "https://idp.example.com")) == "it does not answer (ProxyError)"
        pool = provider_of(server)._pool_for("https://idp.example.com/keys")
        assert isinstance(pool, urllib3.ProxyManager)

    def test_but_for_those_that_need_none(self, server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "example.com")
        assert not isinstance(provider_of(server)._pool_for("https://idp.example.com/x"), urllib3.ProxyManager)


def test_a_token_is_refused_for_now_while_there_are_no_keys(server: KeyServer) -> None:
    server.answers[DISCOVERY] = 503, {}, b""
    claims: dict[str, Any] = {"iss": server.issuer, "aud": AUDIENCE, "sub": "anna", "iat": 0, "exp": 1 << 32}
    token = KEY.sign(claims, "ES256")
    seconds = 0.0
    verifier = OidcVerifier(OidcSettings(server.issuer, AUDIENCE), monotonic=lambda: seconds)
    verifier.warm()
    with pytest.raises(RegistrarError) as caught:
        verifier.verify(token)
    assert (caught.value.reason, caught.value.retry_after_seconds) == (Reason.IDENTITY_PROVIDER_UNAVAILABLE, 1)
    assert server.requests[DISCOVERY] == 1
    server.answers.clear()
    seconds = 1.0
    assert verifier.verify(token).name == "anna"
