"""Which tokens are believed: those of one provider, for us, valid now, signed by a key that is published and fits."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from registrar_server.adapters.oidc import OidcSettings, OidcVerifier
from registrar_server.application.ports.identity import TokenIdentity
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.oidc_keys import AUDIENCE, JWKS, KeyServer, SigningKey, key_server, signing_key

NOW = 1_800_000_000
RSA = signing_key("rsa")
ELLIPTIC = signing_key("P-256")
STRANGE = signing_key("rsa", "strange")
COMMON = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class StillClock:
    """Shows one time."""

    seconds: float = NOW

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@pytest.fixture(scope="module")
def published() -> Iterator[KeyServer]:
    with key_server() as server:
        server.publish(RSA, ELLIPTIC)
        yield server


@pytest.fixture
def provider() -> Iterator[KeyServer]:
    """One of the test's own, with one key."""
    with key_server() as server:
        server.publish(RSA)
        yield server


def verifier_of(server: KeyServer, **options: Any) -> OidcVerifier:
    return OidcVerifier(OidcSettings(server.issuer, AUDIENCE, **options), StillClock())


@pytest.fixture(scope="module")
def verifier(published: KeyServer) -> OidcVerifier:
    return verifier_of(published)


@pytest.fixture(scope="module")
def tenant_verifier(published: KeyServer) -> OidcVerifier:
    """One that reads the tenant, too."""
    return verifier_of(published, tenant_claim="org")


def claims_for(server: KeyServer, **more: Any) -> dict[str, Any]:
    """Claims of a good token; None leaves one out."""
    claims = {"iss": server.issuer, "aud": AUDIENCE, "sub": "anna", "iat": NOW - 10, "exp": NOW + 3600, **more}
    return {name: value for name, value in claims.items() if value is not None}


def refusal(verifier: OidcVerifier, token: str) -> RegistrarError:
    """Why a token is refused. The reason tells nothing of the token."""
    with pytest.raises(RegistrarError) as caught:
        verifier.verify(token)
    told = f"{caught.value.message} {caught.value.metadata}"
    assert not any(part in told for part in token.split(".") if len(part) > 3)
    return caught.value


def assert_invalid(verifier: OidcVerifier, token: str, why: str = "") -> None:
    error = refusal(verifier, token)
    assert error.reason is Reason.CREDENTIALS_INVALID
    assert why in error.message


def encoded(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def test_a_good_token_says_who_its_bearer_is(published: KeyServer, verifier: OidcVerifier) -> None:
    token = RSA.sign(claims_for(published, groups=["ml", "ops"]))
    assert verifier.verify(token) == TokenIdentity(
        "anna",
        ("ml", "ops"),
        "",
        datetime.fromtimestamp(NOW - 10, UTC),
        datetime.fromtimestamp(NOW + 3600, UTC),
    )


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("rsa", name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")]
    + [("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"), ("Ed25519", "EdDSA"), ("Ed448", "EdDSA")],
)
def test_every_asymmetric_algorithm_is_accepted(provider: KeyServer, kind: str, algorithm: str) -> None:
    key = signing_key(kind)
    provider.publish(key)
    assert verifier_of(provider).verify(key.sign(claims_for(provider), algorithm)).name == "anna"


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_id_tokens_and_access_tokens_are_accepted(
    published: KeyServer, verifier: OidcVerifier, kind: str | None
) -> None:
    assert verifier.verify(RSA.sign(claims_for(published), headers={"typ": kind})).name == "anna"


@pytest.mark.parametrize("kind", ["dpop+jwt", "logout+jwt", "secevent+jwt", "JOSE", "jwt "])
def test_tokens_for_other_purposes_are_refused(published: KeyServer, verifier: OidcVerifier, kind: str) -> None:
    assert_invalid(verifier, RSA.sign(claims_for(published), headers={"typ": kind}), "typ")


@pytest.mark.parametrize("kind", [["JWT"], 5, True, {}])
def test_a_type_that_is_no_text_is_refused(published: KeyServer, verifier: OidcVerifier, kind: object) -> None:
    assert_invalid(verifier, with_header(RSA.sign(claims_for(published)), typ=kind), "typ")


def with_header(token: str, **headers: object) -> str:
    """The token under another header; its signature holds no more, which is found out last."""
    header, claims, signature = token.split(".")
    read = json.loads(base64.urlsafe_b64decode(header + "=="))
    return ".".join((encoded({**read, **headers}), claims, signature))


def test_an_audience_may_be_one_of_several(published: KeyServer, verifier: OidcVerifier) -> None:
    assert verifier.verify(RSA.sign(claims_for(published, aud=["other", AUDIENCE]))).name == "anna"


@pytest.mark.parametrize(
    "audience", ["other", "Registrar", "registrar ", ["other"], [], [["registrar"]], {"registrar": 1}, 5, None]
)
def test_a_token_for_others_is_refused(published: KeyServer, verifier: OidcVerifier, audience: object) -> None:
    # PyJWT does not sign what its own checks would not let pass.
    token = jwt.PyJWS().encode(
        json.dumps(claims_for(published, aud=audience)).encode(), RSA.private, "RS256", {"kid": RSA.id}
    )
    assert_invalid(verifier, token, "aud names another audience")


def test_a_token_of_another_issuer_is_refused_and_is_no_reason_to_fetch_keys(provider: KeyServer) -> None:
    verifier = verifier_of(provider)
    for issuer in ("https://idp.example.com", provider.issuer + "/", provider.issuer.upper(), None):
        assert_invalid(verifier, STRANGE.sign(claims_for(provider, iss=issuer)), "iss names another issuer")
    assert not provider.requests


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ({"exp": None}, "exp is absent"),
        ({"iat": None}, "iat is absent"),
        ({"exp": "1900000000"}, "exp is absent, or no time"),
        ({"exp": True}, "exp is absent, or no time"),
        ({"exp": [NOW]}, "exp is absent, or no time"),
        ({"exp": math.inf}, "exp is no time"),
        ({"iat": math.nan}, "iat is no time"),
        ({"exp": 10**400}, "exp is no time"),
        ({"exp": 1e15}, "exp is no time"),
        ({"iat": -1}, "iat is no time"),
        ({"iat": NOW + 31}, "iat is in the future"),
        ({"nbf": NOW + 31}, "nbf is in the future"),
        ({"nbf": "soon"}, "nbf is absent, or no time"),
    ],
)
def test_times_that_do_not_hold_are_refused(
    published: KeyServer, verifier: OidcVerifier, times: Mapping[str, object], why: str
) -> None:
    claims = json.dumps(claims_for(published, **times)).encode()
    assert_invalid(verifier, jwt.PyJWS().encode(claims, RSA.private, "RS256", {"kid": RSA.id}), why)


def test_an_expired_token_is_told_apart(published: KeyServer, verifier: OidcVerifier) -> None:
    assert refusal(verifier, RSA.sign(claims_for(published, exp=NOW - 30))).reason is Reason.CREDENTIALS_EXPIRED


def test_an_expired_token_that_is_forged_is_no_more_than_invalid(published: KeyServer, verifier: OidcVerifier) -> None:
    assert_invalid(verifier, STRANGE.sign(claims_for(published, exp=NOW - 30), headers={"kid": RSA.id}))


@pytest.mark.parametrize(
    "times", [{"exp": NOW - 29}, {"exp": NOW - 29.5}, {"iat": NOW + 30}, {"nbf": NOW + 30}, {"iat": 0}]
)
def test_clocks_may_differ_a_little(published: KeyServer, verifier: OidcVerifier, times: Mapping[str, object]) -> None:
    assert verifier.verify(RSA.sign(claims_for(published, **times))).name == "anna"


def test_how_much_clocks_may_differ_is_a_setting(published: KeyServer) -> None:
    strict = verifier_of(published, clock_skew_seconds=0)
    assert refusal(strict, RSA.sign(claims_for(published, exp=NOW))).reason is Reason.CREDENTIALS_EXPIRED
    assert strict.verify(RSA.sign(claims_for(published, exp=NOW + 1))).name == "anna"


@pytest.mark.parametrize(
    "name",
    [None, "", " ", "anna ", "\tanna", "an\nna", "an\x00na", "an\u202ena", "\ud800", "a" * 201, 5, True, ["anna"], {}],
)
def test_an_actor_without_a_proper_name_is_refused(published: KeyServer, verifier: OidcVerifier, name: object) -> None:
    claims = json.dumps(claims_for(published, sub=name)).encode()
    token = jwt.PyJWS().encode(claims, RSA.private, "RS256", {"kid": RSA.id})
    assert_invalid(verifier, token, "the claim that names the actor")


@pytest.mark.parametrize("name", ["a", "a" * 200, "anna@example.com", "Änne Øst", "|auth0|5f", "安娜"])
def test_names_of_people_everywhere_are_accepted(published: KeyServer, verifier: OidcVerifier, name: str) -> None:
    assert verifier.verify(RSA.sign(claims_for(published, sub=name))).name == name


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        ({}, ()),
        ({"groups": None}, ()),
        ({"groups": []}, ()),
        ({"groups": "ml"}, ("ml",)),
        ({"groups": ["ml", "ops", "ml"]}, ("ml", "ops")),
        ({"groups": ["", "ml", "a\nb", "\ud800", " ops"]}, ("ml",)),
    ],
)
def test_groups_are_names_in_a_list_or_one_alone(
    published: KeyServer, verifier: OidcVerifier, claims: Mapping[str, object], groups: tuple[str, ...]
) -> None:
    assert verifier.verify(RSA.sign(claims_for(published, **claims))).groups == groups


@pytest.mark.parametrize("groups", [5, True, {"ml": True}, ["ml", 5], [["ml"]]])
def test_groups_of_another_shape_are_refused(published: KeyServer, verifier: OidcVerifier, groups: object) -> None:
    assert_invalid(verifier, RSA.sign(claims_for(published, groups=groups)), "the claim that names groups")


@pytest.mark.parametrize("claim", ["realm_access.roles", "https://example.com/groups", "a.b.c"])
def test_a_claim_may_be_deep_and_its_name_may_have_dots(published: KeyServer, claim: str) -> None:
    deep = {"realm_access": {"roles": ["ml"]}, "https://example.com/groups": ["ml"], "a": {"b": {"c": "ml"}}}
    verifier = verifier_of(published, groups_claim=claim)
    assert verifier.verify(RSA.sign(claims_for(published, **deep))).groups == ("ml",)


@pytest.mark.parametrize("claim", ["realm_access.roles", "a.b", "sub.x", ".", "a..b", ""])
def test_a_path_that_leads_nowhere_names_no_groups(published: KeyServer, claim: str) -> None:
    token = RSA.sign(claims_for(published, realm_access=["roles"], a="b", groups=["ml"]))
    assert verifier_of(published, groups_claim=claim).verify(token).groups == ()


def test_actor_and_tenant_are_read_from_the_claims_that_are_configured(published: KeyServer) -> None:
    verifier = verifier_of(published, actor_claim="email", tenant_claim="org.name")
    identity = verifier.verify(RSA.sign(claims_for(published, email="anna@example.com", org={"name": "acme"})))
    assert (identity.name, identity.tenant) == ("anna@example.com", "acme")
    assert verifier.verify(RSA.sign(claims_for(published, email="anna@example.com"))).tenant == ""
    assert_invalid(verifier, RSA.sign(claims_for(published, email="a", org={"name": ["acme"]})), "names the tenant")
    assert_invalid(verifier, RSA.sign(claims_for(published)), "names the actor")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "rgt_abcdefgh",
        " a.b.c",
        "a.b.c\n",
        "é.é.é",
        "\ud800.b.c",
        "e30.e30.e30",
        f"{encoded([])}.{encoded({})}.AA",
        f"{encoded(b'[' * 9000)}.{encoded({})}.AA",
        f"{encoded(b'{')}.{encoded({})}.AA",
        f"{encoded(b'{}') + '='}.{encoded({})}.AA",
        f"{encoded({'alg': 'RS256', 'kid': 5})}.{encoded({})}.AA",
        f"{encoded({'alg': ['RS256']})}.{encoded({})}.AA",
        f"{encoded({'alg': 'RS256'})}.{encoded(b'[' * 9000)}.AA",
        f"{encoded({'alg': 'RS256'})}.{encoded(b'9' * 9000)}.AA",
        f"{encoded({'alg': 'RS256'})}.{encoded(bytes(range(256)))}.AA",
    ],
)
def test_what_is_no_token_is_refused(verifier: OidcVerifier, token: str) -> None:
    assert_invalid(verifier, token)


def test_a_token_of_more_than_16_kib_is_refused(published: KeyServer, verifier: OidcVerifier) -> None:
    token = RSA.sign(claims_for(published, filler="x" * 12_000))
    assert len(token) > 16 * 1024
    assert_invalid(verifier, token, "longer than 16384")


class TestForgery:
    def test_another_key_under_the_id_of_a_published_one(self, published: KeyServer, verifier: OidcVerifier) -> None:
        assert_invalid(verifier, STRANGE.sign(claims_for(published), headers={"kid": RSA.id}), "signature")

    def test_a_payload_that_was_changed(self, published: KeyServer, verifier: OidcVerifier) -> None:
        header, _, signature = RSA.sign(claims_for(published)).split(".")
        forged = encoded(claims_for(published, sub="root"))
        assert_invalid(verifier, f"{header}.{forged}.{signature}", "signature")

    def test_another_spelling_of_the_same_bytes(self, published: KeyServer, verifier: OidcVerifier) -> None:
        token = RSA.sign(claims_for(published))
        # Of the last of 342 letters only two bits count.
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        same = letters[letters.index(token[-1]) ^ 1]
        for spelling in (token[:-1] + same, token + "=", token + "==", token + "\n", " " + token):
            assert_invalid(verifier, spelling, "no signed JWT")
        assert verifier.verify(token).name == "anna"

    @pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
    def test_no_algorithm(self, published: KeyServer, verifier: OidcVerifier, name: str) -> None:
        unsigned = f"{encoded({'alg': name, 'kid': RSA.id})}.{encoded(claims_for(published))}"
        assert_invalid(verifier, f"{unsigned}.")
        assert_invalid(verifier, f"{unsigned}.AA", "alg")
        assert_invalid(verifier, f"{unsigned}.{RSA.sign({}).split('.')[2]}", "alg")

    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_a_public_key_as_a_secret(self, published: KeyServer, verifier: OidcVerifier, algorithm: str) -> None:
        pem = RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for secret in (pem, pem.strip(), json.dumps(RSA.jwk).encode(), RSA.jwk["n"].encode()):
            assert_invalid(verifier, with_secret(claims_for(published), secret, algorithm, RSA.id), "alg")

    def test_a_secret_that_the_provider_published(self, provider: KeyServer) -> None:
        secret = b"published by mistake, 32 bytes.."
        provider.keys = [{"kty": "oct", "k": encoded(secret), "kid": "secret"}]
        assert_invalid(verifier_of(provider), with_secret(claims_for(provider), secret, "HS256", "secret"), "alg")

    @pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
    @pytest.mark.parametrize("key_id", [RSA.id, "strange", None])
    def test_a_key_that_the_token_brings(
        self, published: KeyServer, verifier: OidcVerifier, member: str, key_id: str | None
    ) -> None:
        brought = {"jwk": STRANGE.jwk, "jku": published.issuer + "/evil", "x5u": published.issuer + "/evil", "x5c": []}
        token = STRANGE.sign(claims_for(published), headers={member: brought[member], "kid": key_id})
        assert_invalid(verifier, token, "signature")
        assert published.requests["/evil"] == 0

    @pytest.mark.parametrize("headers", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": None}, {"b64": True}])
    def test_headers_that_must_be_understood(
        self, published: KeyServer, verifier: OidcVerifier, headers: Mapping[str, object]
    ) -> None:
        assert_invalid(verifier, with_header(RSA.sign(claims_for(published)), **headers), "crit")

    def test_an_algorithm_that_is_not_the_keys(self, published: KeyServer, verifier: OidcVerifier) -> None:
        assert_invalid(verifier, RSA.sign(claims_for(published), headers={"kid": ELLIPTIC.id}), "signature")
        assert_invalid(verifier, with_header(RSA.sign(claims_for(published)), alg="RS512"), "signature")
        assert_invalid(verifier, with_header(RSA.sign(claims_for(published)), alg="ES256"), "signature")

    @pytest.mark.parametrize(
        "published_as",
        [
            {"alg": "RS512"},
            {"alg": 5},
            {"use": "enc"},
            {"key_ops": ["sign"]},
            {"key_ops": "verify"},
            {"kty": "EC"},
            {"kty": 5},
            {"n": "AQAB"},
            {"n": "!!"},
            {"n": ""},
            {"n": 5},
            {"e": None},
        ],
    )
    def test_a_key_that_is_not_for_this(self, provider: KeyServer, published_as: Mapping[str, object]) -> None:
        provider.keys = [{**RSA.jwk, **published_as}]
        error = refusal(verifier_of(provider), RSA.sign(claims_for(provider)))
        assert error.reason in {Reason.CREDENTIALS_INVALID, Reason.IDENTITY_PROVIDER_UNAVAILABLE}

    @pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits:jwt.warnings.InsecureKeyLengthWarning")
    def test_a_key_that_is_too_short(self, provider: KeyServer) -> None:
        short = signing_key("rsa-1024")
        provider.publish(short, RSA)
        verifier = verifier_of(provider)
        assert_invalid(verifier, short.sign(claims_for(provider)), "signature")
        assert verifier.verify(RSA.sign(claims_for(provider))).name == "anna"


def with_secret(claims: Mapping[str, object], secret: bytes, algorithm: str, key_id: str) -> str:
    """PyJWT refuses to sign with what looks like a public key, so its guard is gone round."""
    algorithms = jwt.algorithms.get_default_algorithms()
    text = f"{encoded({'alg': algorithm, 'kid': key_id})}.{encoded(dict(claims))}"
    return f"{text}.{encoded(algorithms[algorithm].sign(text.encode(), secret))}"


class TestKeys:
    def test_a_private_key_published_by_mistake_still_verifies_and_only_that(self, provider: KeyServer) -> None:
        private = jwt.algorithms.RSAAlgorithm.to_jwk(RSA.private, as_dict=True)
        provider.keys = [{**dict(private), "kid": RSA.id, "key_ops": ["verify"]}]
        assert verifier_of(provider).verify(RSA.sign(claims_for(provider))).name == "anna"

    def test_without_an_id_the_one_key_that_fits_is_meant(self, published: KeyServer, verifier: OidcVerifier) -> None:
        assert verifier.verify(RSA.sign(claims_for(published), headers={"kid": None})).name == "anna"

    def test_without_an_id_and_with_two_keys_that_fit_none_is_meant(self, provider: KeyServer) -> None:
        provider.publish(RSA, STRANGE)
        verifier = verifier_of(provider)
        for key in (RSA, STRANGE):
            assert_invalid(verifier, key.sign(claims_for(provider), headers={"kid": None}), "signature")

    def test_without_an_id_a_key_that_replaced_the_only_one_is_found(self, provider: KeyServer) -> None:
        later = iter(range(0, 100, 10))
        verifier = OidcVerifier(OidcSettings(provider.issuer, AUDIENCE), StillClock(), monotonic=lambda: next(later))
        verifier.warm()
        provider.publish(STRANGE)
        assert verifier.verify(STRANGE.sign(claims_for(provider), headers={"kid": None})).name == "anna"

    def test_two_keys_under_one_id_are_told_apart_by_algorithm_only(self, provider: KeyServer) -> None:
        provider.keys = [{**RSA.jwk, "kid": "same"}, {**ELLIPTIC.jwk, "kid": "same"}]
        verifier = verifier_of(provider)
        for key, algorithm in ((RSA, "PS256"), (ELLIPTIC, "ES256")):
            token = key.sign(claims_for(provider), algorithm, {"kid": "same"})
            assert verifier.verify(token).name == "anna"
        provider.keys = [{**RSA.jwk, "kid": "same"}, {**STRANGE.jwk, "kid": "same"}]
        verifier = verifier_of(provider)
        for key in (RSA, STRANGE):
            assert_invalid(verifier, key.sign(claims_for(provider), headers={"kid": "same"}), "signature")

    def test_keys_of_unknown_kinds_do_not_spoil_the_others(self, provider: KeyServer) -> None:
        strange: list[Any] = [
            {"kty": "AKP", "kid": "x"},
            {"kty": "EC", "crv": "P-1"},
            {},
            5,
            None,
            {"kid": 5, **RSA.jwk},
        ]
        strange += [{**RSA.jwk, "kid": ["x"]}, {"kty": "OKP", "crv": "Ed25519", "x": "AA"}, {"kty": ["RSA"]}]
        provider.keys = [*strange, RSA.jwk]
        assert verifier_of(provider).verify(RSA.sign(claims_for(provider))).name == "anna"

    def test_known_keys_are_fetched_once(self, provider: KeyServer) -> None:
        verifier = verifier_of(provider)
        for name in ("a", "b", "c"):
            assert verifier.verify(RSA.sign(claims_for(provider, sub=name))).name == name
        assert provider.requests[JWKS] == 1


class TestAnything:
    """Whatever is sent, the answer is an identity that the provider signed, or a refusal."""

    @COMMON
    @given(data=st.data())
    def test_a_mangled_token_never_verifies(
        self, published: KeyServer, verifier: OidcVerifier, data: st.DataObject
    ) -> None:
        key: SigningKey
        key, algorithm = data.draw(st.sampled_from([(RSA, "RS256"), (RSA, "PS256"), (ELLIPTIC, "ES256")]))
        token = key.sign(claims_for(published), algorithm)
        begin = data.draw(st.integers(0, len(token)))
        end = data.draw(st.integers(begin, min(begin + data.draw(st.sampled_from([0, 1, 3, 400])), len(token))))
        letters = "abcXYZ019-_.=+/ \n\x00é"
        mangled = token[:begin] + data.draw(st.text(letters, max_size=4)) + token[end:]
        if mangled != token:
            assert refusal(verifier, mangled).reason is Reason.CREDENTIALS_INVALID

    @COMMON
    @given(token=st.text(max_size=60) | st.text("ab.-_=", max_size=60))
    def test_any_text_is_refused(self, verifier: OidcVerifier, token: str) -> None:
        with pytest.raises(RegistrarError) as caught:
            verifier.verify(token)
        assert caught.value.reason is Reason.CREDENTIALS_INVALID

    @COMMON
    @given(
        header=st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "zip", "enc"]),
            st.sampled_from(["RS256", "ES256", "HS256", "none", "rsa", "P-256", "JWT", "at+jwt", "DEF"])
            | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=4),
        )
    )
    @example({"alg": "RS256", "kid": "rsa", "typ": "JWT"})
    def test_no_header_makes_a_wrong_signature_right(
        self, published: KeyServer, verifier: OidcVerifier, header: dict[str, object]
    ) -> None:
        signature = STRANGE.sign(claims_for(published)).split(".")[2]
        token = f"{encoded(header)}.{encoded(claims_for(published))}.{signature}"
        with pytest.raises(RegistrarError) as caught:
            verifier.verify(token)
        assert caught.value.reason is Reason.CREDENTIALS_INVALID

    @COMMON
    @given(data=st.data())
    def test_signed_claims_of_any_shape_are_read_or_refused(
        self, published: KeyServer, tenant_verifier: OidcVerifier, data: st.DataObject
    ) -> None:
        values = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        )
        names = st.sampled_from(["sub", "aud", "iat", "exp", "nbf", "groups", "org"])
        claims = claims_for(published) | data.draw(st.dictionaries(names, values, max_size=3))
        token = jwt.PyJWS().encode(json.dumps(claims).encode(), ELLIPTIC.private, "ES256", {"kid": ELLIPTIC.id})
        try:
            identity = tenant_verifier.verify(token)
        except RegistrarError as error:
            assert error.reason in {Reason.CREDENTIALS_INVALID, Reason.CREDENTIALS_EXPIRED}
        else:
            assert identity.name == claims["sub"]
            assert all(identity.groups)
            assert identity.expire_time.timestamp() > NOW - 30
            "".join((identity.name, identity.tenant, *identity.groups)).encode()
