"""Keys that a provider publishes (RFC 7517), as far as they verify signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import jwt
from jwt.algorithms import AllowedPublicKeys, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("RSA", ""): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""By `kty` and `crv`. Only asymmetric ones: a public key never serves as a secret."""
ALGORITHMS: Final = frozenset(name for names in _ALGORITHMS.values() for name in names)
_PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e")
_RSA_BITS: Final = range(2048, 16384 + 1)
"""Below, RFC 7518 forbids it; above, OpenSSL refuses to verify."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key. Two are equal when their material, id and algorithms are."""

    id: str | None
    algorithms: frozenset[str]
    material: tuple[tuple[str, str], ...]
    handle: AllowedPublicKeys = field(compare=False, repr=False)


class KeySet:
    """The keys that were published at one time. Immutable."""

    __slots__ = ("keys",)

    def __init__(self, keys: frozenset[VerificationKey] = frozenset()) -> None:
        self.keys = keys

    def __bool__(self) -> bool:
        return bool(self.keys)

    def fitting(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """The one key that is meant; None when there is none, or when a token without an id could mean several."""
        found = [key for key in self.keys if key_id in (None, key.id) and algorithm in key.algorithms]
        return found[0] if len(found) == 1 else None

    def knows(self, key_id: str | None) -> bool:
        """Whether a key has this id; never, when there is no id."""
        return key_id is not None and any(key.id == key_id for key in self.keys)


def read_key_set(document: object) -> KeySet:
    """From a JWKS document; ValueError when it is none. Keys for other purposes and of unknown kinds are left out."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no key set")  # noqa: TRY004  (of a document, not of an argument)
    return KeySet(frozenset(key for one in listed if isinstance(one, dict) and (key := _read_key(one)) is not None))


def _read_key(jwk: Mapping[str, object]) -> VerificationKey | None:
    key_id = jwk.get("kid")
    algorithms = _algorithms_of(jwk)
    if not algorithms or not (key_id is None or isinstance(key_id, str)):
        return None
    public = {name: value for name in _PUBLIC_MEMBERS if isinstance(value := jwk.get(name), str)}
    try:
        handle = _load(public)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return None if handle is None else VerificationKey(key_id, algorithms, tuple(sorted(public.items())), handle)


def _algorithms_of(jwk: Mapping[str, object]) -> frozenset[str]:
    """What the key may be used with, by its kind and by what it says itself; nothing when it does not verify."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return frozenset()
    kind, curve = jwk.get("kty"), jwk.get("crv", "")
    if not isinstance(kind, str) or not isinstance(curve, str):
        return frozenset()
    possible = frozenset(_ALGORITHMS.get((kind, curve), ()))
    return possible & {jwk["alg"]} if "alg" in jwk else possible


def _load(public: dict[str, str]) -> AllowedPublicKeys | None:
    """Only public members are handed over, so what comes back is a public key."""
    match public["kty"]:
        case "RSA":
            rsa = RSAAlgorithm.from_jwk(public)
            return cast("AllowedPublicKeys", rsa) if rsa.key_size in _RSA_BITS else None
        case "EC":
            return cast("AllowedPublicKeys", ECAlgorithm.from_jwk(public))
        case _:
            return cast("AllowedPublicKeys", OKPAlgorithm.from_jwk(public))
