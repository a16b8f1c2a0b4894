"""Tokens of a real provider, through rotations, outages and what others make of them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import requests
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from registrar_server.adapters.oidc import OidcSettings, OidcVerifier
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.faults import MovableClock
from tests.fixtures.oidc import AUDIENCE, DEVICE_CLIENT, SERVICE_CLIENT, OidcProvider
from tests.fixtures.oidc_keys import signing_key

DEADLINE_SECONDS = 20.0
STRANGE = signing_key("rsa", "strange")


class Verification:
    """A verifier, and the time that it sees."""

    def __init__(self, provider: OidcProvider, **options: str) -> None:
        self.clock = MovableClock()
        self.seconds = 1000.0
        settings = OidcSettings(provider.issuer, AUDIENCE, **options)  # type: ignore[arg-type]
        self.verifier = OidcVerifier(settings, self.clock, monotonic=lambda: self.seconds)

    def name(self, token: str) -> str:
        return self.verifier.verify(token).name

    def refusal(self, token: str) -> Reason:
        with pytest.raises(RegistrarError) as caught:
            self.verifier.verify(token)
        return caught.value.reason


@pytest.fixture
def provider(oidc_provider: OidcProvider) -> Iterator[OidcProvider]:
    """The session's, up again afterwards."""
    yield oidc_provider
    oidc_provider.start()


@pytest.fixture
def verification(provider: OidcProvider) -> Verification:
    return Verification(provider)


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def key_fetches(provider: OidcProvider) -> int:
    return provider.request_count("/jwks")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_an_access_token_says_who_its_bearer_is(
    provider: OidcProvider, verification: Verification, algorithm: str
) -> None:
    identity = verification.verifier.verify(provider.token("anna", ["ml", "ops"], algorithm=algorithm))
    assert (identity.name, identity.groups, identity.tenant) == ("anna", ("ml", "ops"), "")
    assert (identity.expire_time - identity.issue_time).total_seconds() == 3600


def test_a_service_signs_in_by_client_credentials(provider: OidcProvider, verification: Verification) -> None:
    provider.set_account(SERVICE_CLIENT, ["robots"])
    identity = verification.verifier.verify(provider.service_token())
    assert (identity.name, identity.groups) == (SERVICE_CLIENT, ("robots",))


def test_a_person_signs_in_by_the_device_flow_and_is_refreshed(
    provider: OidcProvider, verification: Verification
) -> None:
    provider.set_account("bo", ["ml"], email="bo@example.com", access_token_seconds=60)
    device = post(provider, "/device/auth", scope="openid email groups")
    grant = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": device["device_code"],
    }
    assert post(provider, "/token", **grant)["error"] == "authorization_pending"
    provider.approve_device(device["user_code"], "bo")
    tokens = post(provider, "/token", **grant)
    identity = verification.verifier.verify(tokens["access_token"])
    assert (identity.name, identity.groups) == ("bo", ("ml",))
    verification.clock.advance(120)
    assert verification.refusal(tokens["access_token"]) is Reason.CREDENTIALS_EXPIRED
    again = post(provider, "/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert Verification(provider).name(again["access_token"]) == "bo"


def test_an_id_token_counts_where_its_audience_is_meant(provider: OidcProvider) -> None:
    provider.set_account("bo", ["ml"], email="bo@example.com")
    device = post(provider, "/device/auth", scope="openid email groups")
    provider.approve_device(device["user_code"], "bo")
    tokens = post(
        provider,
        "/token",
        grant_type="urn:ietf:params:oauth:grant-type:device_code",
        device_code=device["device_code"],
    )
    assert Verification(provider).refusal(tokens["id_token"]) is Reason.CREDENTIALS_INVALID
    settings = OidcSettings(provider.issuer, DEVICE_CLIENT, actor_claim="email")
    assert OidcVerifier(settings).verify(tokens["id_token"]).name == "bo@example.com"


def test_a_device_that_is_denied_gets_no_token(provider: OidcProvider) -> None:
    device = post(provider, "/device/auth", scope="openid")
    provider.deny_device(device["user_code"])
    answer = post(
        provider,
        "/token",
        grant_type="urn:ietf:params:oauth:grant-type:device_code",
        device_code=device["device_code"],
    )
    assert answer["error"] == "access_denied"


def post(provider: OidcProvider, path: str, **form: str) -> dict[str, str]:
    answer = requests.post(provider.issuer + path, data={"client_id": DEVICE_CLIENT, **form}, timeout=10)
    read: dict[str, str] = answer.json()
    return read


def test_tokens_that_do_not_hold_are_refused(provider: OidcProvider, verification: Verification) -> None:
    soon = int(time.time()) + 600
    wrong = {
        "audience": provider.token("anna", audience="somebody-else"),
        "issuer": provider.token("anna", claims={"iss": "https://idp.example.com"}),
        "not yet": provider.token("anna", claims={"nbf": soon}),
        "issued later": provider.token("anna", claims={"iat": soon}),
        "for ever": provider.token("anna", claims={"exp": None}),
        "nobody": provider.token("anna", claims={"sub": None}),
    }
    assert {name: verification.refusal(token) for name, token in wrong.items()} == dict.fromkeys(
        wrong, Reason.CREDENTIALS_INVALID
    )
    assert verification.refusal(provider.token("anna", ttl_seconds=-60)) is Reason.CREDENTIALS_EXPIRED


def test_a_token_is_valid_until_it_expires(provider: OidcProvider, verification: Verification) -> None:
    token = provider.token("anna", ttl_seconds=300)
    verification.clock.advance(320)
    assert verification.name(token) == "anna"
    verification.clock.advance(20)
    assert verification.refusal(token) is Reason.CREDENTIALS_EXPIRED


def test_what_others_make_of_a_token_is_refused(provider: OidcProvider, verification: Verification) -> None:
    token = provider.token("anna")
    header, claims, signature = token.split(".")
    told, published = read(claims), published_key(provider, token)
    pem = published.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key_id = read(header)["kid"]
    secret = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    symmetric = f"{encoded({'alg': 'HS256', 'kid': key_id})}.{claims}"
    forged = {
        "signature of another": f"{header}.{claims}.{provider.token('anna').split('.')[2]}",
        "payload": f"{header}.{encoded({**told, 'sub': 'root'})}.{signature}",
        "header": f"{encoded({**read(header), 'typ': 'JWT'})}.{claims}.{signature}",
        "no signature": f"{header}.{claims}.",
        "alg none": f"{encoded({'alg': 'none'})}.{claims}.",
        "alg none, signed": f"{encoded({'alg': 'none', 'kid': key_id})}.{claims}.{signature}",
        "public key as secret": f"{symmetric}.{encoded(secret.sign(symmetric.encode(), pem))}",
        "another key": STRANGE.sign(told, headers={"kid": key_id}),
        "key of its own": STRANGE.sign(told, headers={"kid": key_id, "jwk": STRANGE.jwk}),
        "unknown key of its own": STRANGE.sign(told, headers={"jwk": STRANGE.jwk}),
    }
    assert {name: verification.refusal(each) for name, each in forged.items()} == dict.fromkeys(
        forged, Reason.CREDENTIALS_INVALID
    )
    assert verification.name(token) == "anna"


def read(segment: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return found


def encoded(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def published_key(provider: OidcProvider, token: str) -> RSAPublicKey:
    key_id = jwt.get_unverified_header(token)["kid"]
    keys = requests.get(f"{provider.issuer}/jwks", timeout=10).json()["keys"]
    found = jwt.PyJWK(next(key for key in keys if key["kid"] == key_id)).key
    assert isinstance(found, RSAPublicKey)
    return found


def test_a_key_that_was_published_ahead_needs_no_fetch(provider: OidcProvider, verification: Verification) -> None:
    old = provider.token("anna")
    provider.rotate_keys(keep_old=True)
    new = provider.token("anna")
    verification.verifier.warm()
    before = key_fetches(provider)
    assert (verification.name(old), verification.name(new)) == ("anna", "anna")
    assert key_fetches(provider) == before


def test_a_new_key_is_fetched_when_its_first_token_comes(provider: OidcProvider, verification: Verification) -> None:
    old = provider.token("anna")
    assert verification.name(old) == "anna"
    generation = verification.verifier.generation
    provider.rotate_keys(keep_old=True)
    verification.seconds += 1
    assert verification.name(provider.token("bo")) == "bo"
    assert verification.name(old) == "anna"
    assert verification.verifier.generation > generation


def test_a_key_that_was_withdrawn_verifies_no_more_once_keys_are_fetched(
    provider: OidcProvider, verification: Verification
) -> None:
    old = provider.token("anna")
    assert verification.name(old) == "anna"
    generation = verification.verifier.generation
    provider.rotate_keys()
    verification.seconds += 601
    await_that(lambda: verification.verifier.generation > generation)
    assert verification.refusal(old) is Reason.CREDENTIALS_INVALID
    assert verification.name(provider.token("anna")) == "anna"


def test_a_flood_of_tokens_by_unknown_keys_leads_to_few_fetches(
    provider: OidcProvider, verification: Verification
) -> None:
    told = {"iss": provider.issuer, "aud": AUDIENCE, "sub": "root", "iat": 0, "exp": 1 << 32}
    verification.verifier.warm()
    good, before = provider.token("anna"), key_fetches(provider)
    floods = [STRANGE.sign(told, headers={"kid": f"unknown-{number}"}) for number in range(100)]
    for _ in range(60):
        verification.seconds += 1
        with ThreadPoolExecutor(4) as pool:
            reasons = set(pool.map(verification.refusal, floods[:8]))
        assert reasons == {Reason.CREDENTIALS_INVALID}
        assert verification.name(good) == "anna"
    # After 1, 3, 7, 15 and 31 seconds.
    assert key_fetches(provider) - before == 5


def test_a_provider_that_is_down_at_the_start_is_found_later(
    provider: OidcProvider, verification: Verification
) -> None:
    token = provider.token("anna")
    provider.stop()
    with structlog.testing.capture_logs() as logged:
        verification.verifier.warm()
        assert verification.refusal(token) is Reason.IDENTITY_PROVIDER_UNAVAILABLE
        assert verification.refusal("no.tok.en") is Reason.CREDENTIALS_INVALID
        provider.start()
        assert verification.refusal(token) is Reason.IDENTITY_PROVIDER_UNAVAILABLE
        verification.seconds += 1
        assert verification.name(token) == "anna"
    assert [line["event"] for line in logged] == ["oidc.provider_unreachable", "oidc.keys_changed"]


def test_a_provider_that_goes_down_is_missed_by_new_keys_only(
    provider: OidcProvider, verification: Verification
) -> None:
    known = provider.token("anna")
    assert verification.name(known) == "anna"
    provider.rotate_keys()
    unknown = provider.token("bo")
    provider.stop()
    for _ in range(20):
        verification.seconds += 600
        assert verification.name(known) == "anna"
        assert verification.refusal(unknown) is Reason.IDENTITY_PROVIDER_UNAVAILABLE
    provider.start()
    verification.seconds += 60
    assert verification.name(unknown) == "bo"
    assert verification.refusal(known) is Reason.CREDENTIALS_INVALID


def test_an_hour_of_outage_is_survived_and_a_day_is_not(provider: OidcProvider, verification: Verification) -> None:
    token = provider.token("anna", ttl_seconds=7 * 24 * 3600)
    assert verification.name(token) == "anna"
    provider.stop()
    verification.seconds += 3600
    assert verification.name(token) == "anna"
    verification.seconds += 23 * 3600 + 1
    assert verification.refusal(token) is Reason.IDENTITY_PROVIDER_UNAVAILABLE


def test_no_part_of_a_token_is_logged(provider: OidcProvider, verification: Verification) -> None:
    tokens = [provider.token("anna"), provider.token("anna", ttl_seconds=-60), provider.token("anna", audience="x")]
    with structlog.testing.capture_logs() as logged:
        for token in [*tokens, *(token[:-8] + "AAAAAAAA" for token in tokens)]:
            try:
                verification.verifier.verify(token)
            except RegistrarError as error:
                logged.append({"event": error.message, "log_level": "", **error.metadata})
    said = json.dumps(logged, default=str)
    assert logged
    assert not any(part in said for token in tokens for part in token.split("."))
