"""Certificates and keys in PEM files: read, and found fit to be served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_RSA_BITS = 2048
_BEGIN = b"-----BEGIN CERTIFICATE-----"


class CertificateError(Exception):
    """A file that cannot be used: `path`, and why. Nothing of its content is in the text."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """A certificate with those that lead to its root, and its key, as they stand in their files."""

    chain: bytes
    key: bytes
    certificate: x509.Certificate

    def __repr__(self) -> str:
        """Without the key."""
        return f"CertificatePair({self.subject}, {self.serial})"

    @property
    def subject(self) -> str:
        """Its distinguished name, by RFC 4514."""
        return self.certificate.subject.rfc4514_string()

    @property
    def serial(self) -> str:
        """Its serial number, in hexadecimal digits."""
        return f"{self.certificate.serial_number:x}"

    @property
    def end_time(self) -> datetime:
        """From when on nobody takes it."""
        return self.certificate.not_valid_after_utc


def read_pair(certificate_path: str, key_path: str, now: datetime) -> CertificatePair:
    """The pair of two files; `CertificateError` when it is missing, broken, not valid now, or does not fit together."""
    chain, key = _read(certificate_path), _read(key_path)
    first = _certificates(certificate_path, chain)[0]
    if first.public_key() != _private_key(key_path, key).public_key():
        raise CertificateError(key_path, f"is not the key of the certificate in {certificate_path}")
    _require_valid(certificate_path, first, now)
    if not _may_sign(first):
        raise CertificateError(certificate_path, "may not sign: its key usage has no digitalSignature")
    return CertificatePair(chain, key, first)


def read_authorities(path: str, now: datetime) -> bytes:
    """The certificates of a file, as they stand there; `CertificateError` when it is missing, broken, or none is valid now."""
    content = _read(path)
    certificates = _certificates(path, content)
    if not any(_is_valid(certificate, now) for certificate in certificates):
        _require_valid(path, certificates[0], now)
    return content


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise CertificateError(path, f"cannot be read: {exc.strerror}") from exc


def _certificates(path: str, content: bytes) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError as exc:
        raise CertificateError(path, "holds no certificates in PEM") from exc
    # One whose end is missing is passed over by the parser, and by gRPC: a file that is still being written.
    if len(found) != content.count(_BEGIN):
        raise CertificateError(path, "holds a certificate that breaks off")
    return found


def _private_key(path: str, content: bytes) -> RSAPrivateKey | EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as exc:
        raise CertificateError(path, "is encrypted; a server needs a key without a passphrase") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise CertificateError(path, "holds no private key in PEM") from exc
    if isinstance(key, RSAPrivateKey) and key.key_size >= _RSA_BITS:
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1 | SECP384R1):
        return key
    # Others fail in the handshake, without a word to anybody.
    raise CertificateError(path, f"is neither an RSA key of {_RSA_BITS} bits or more nor one on P-256 or P-384")


def _may_sign(certificate: x509.Certificate) -> bool:
    """Every handshake that is left in TLS 1.2 and 1.3 is signed; gRPC takes no other certificate, and does not say so."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _require_valid(path: str, certificate: x509.Certificate, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        raise CertificateError(path, f"is valid from {begin:%Y-%m-%dT%H:%M:%SZ} on only")
    if now >= end:
        raise CertificateError(path, f"has expired at {end:%Y-%m-%dT%H:%M:%SZ}")
