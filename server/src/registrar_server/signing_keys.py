"""The key that heads of the audit are signed with, in a PEM file: read, made, and found fit to be used."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SigningKeyError(Exception):
    """A file that cannot be used: the text says why, and has nothing of its content."""


class SigningKey:
    """The port `Signer`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """See the port."""
        return self._key.sign(message)


def read_signing_key(path: str) -> SigningKey:
    """An Ed25519 key in PKCS #8, without a passphrase, which only its owner may read. `SigningKeyError`."""
    try:
        with Path(path).open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read()
    except OSError as exc:
        raise SigningKeyError(f"{path} cannot be read: {exc.strerror}") from exc
    if mode & _OTHERS:
        raise SigningKeyError(f"{path} may be used by others than its owner: chmod 600")
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as exc:
        raise SigningKeyError(f"{path} is encrypted; a server needs a key without a passphrase") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise SigningKeyError(f"{path} holds no private key in PEM") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(f"{path} is not an Ed25519 key")
    return SigningKey(key)


def new_signing_key() -> str:
    """A new key, as its file has it."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()
