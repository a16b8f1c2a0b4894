"""What in a configuration cannot be: parts that do not fit each other, files that cannot be used, doors left open."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registrar_server.addresses import (
    ADDRESS,
    LOOPBACK,
    hide_password,
    is_every_address,
    is_loopback,
    scheme_of,
)
from registrar_server.cores import available_cores

if TYPE_CHECKING:
    from registrar_server.config import Config

_SMALL_CALL_THREADS = 4


def contradictions(config: Config) -> list[str]:
    """Every problem of a configuration whose variables can be read one by one, a line for each."""
    return [
        *_address_problems(config),
        *_authentication_problems(config),
        *_oidc_problems(config),
        *_tls_problems(config),
        *_audit_problems(config),
        *_backend_problems(config),
    ]


def _address_problems(config: Config) -> list[str]:
    listens = {"listen": config.listen, "bulk-listen": config.bulk_listen, "REGISTRAR_MTLS_LISTEN": config.mtls_listen}
    problems = []
    for option, address in listens.items():
        if not address and option != "listen":
            continue
        if not ADDRESS.fullmatch(address):
            problems.append(f"{option}: {address!r} is not host:port")
        elif not (is_loopback(address) or _is_encrypted(config, address) or config.is_plaintext_network_allowed):
            problems.append(
                f"{option}: {address} is not loopback, and nothing is encrypted: whoever is on the way reads tokens and "
                "models. Set REGISTRAR_TLS_CERTIFICATE and REGISTRAR_TLS_KEY, listen on 127.0.0.1, or set "
                "REGISTRAR_ALLOW_PLAINTEXT_NETWORK=true (--allow-plaintext-network) where something in front encrypts"
            )
    return problems


def _is_encrypted(config: Config, address: str) -> bool:
    return config.is_tls or address == config.mtls_listen


def _authentication_problems(config: Config) -> list[str]:
    """`none` is for one machine alone, and for whoever configures nothing that asks callers who they are."""
    if config.authentication != "none":
        return []
    asking = {
        "REGISTRAR_OIDC_ISSUER": config.oidc_issuer,
        "REGISTRAR_MTLS_LISTEN": config.mtls_listen,
        "REGISTRAR_ACCESS_FILE": config.access_file,
    }
    problems = [
        f"REGISTRAR_AUTHENTICATION: none, but {address} is not loopback: whoever reaches it could do anything"
        for address in config.listens
        if ADDRESS.fullmatch(address) and not is_loopback(address)
    ]
    return problems + [
        f"REGISTRAR_AUTHENTICATION: none, but {name} is set, which is of use only where callers say who they are"
        for name, value in asking.items()
        if value
    ]


def _oidc_problems(config: Config) -> list[str]:
    of_provider = {
        "REGISTRAR_OIDC_CLIENT_ID": config.oidc_client_id,
        "REGISTRAR_OIDC_TENANT_CLAIM": config.oidc_tenant_claim,
        "REGISTRAR_OIDC_CA_FILE": config.oidc_ca_file,
    }
    if not config.oidc_issuer:
        return [
            f"{name}: there is no provider; set REGISTRAR_OIDC_ISSUER" for name, value in of_provider.items() if value
        ]
    problems = []
    if not _is_issuer(config.oidc_issuer):
        problems.append(
            f"REGISTRAR_OIDC_ISSUER: {hide_password(config.oidc_issuer)!r} is not https://host[:port][/path] "
            "(http:// on loopback only)"
        )
    return problems + _authority_problems("REGISTRAR_OIDC_CA_FILE", config.oidc_ca_file)


def _is_issuer(url: str) -> bool:
    """OpenID Connect Discovery 1.0, 3: no query and no fragment; no user either, since it is told to everybody."""
    if not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#]*)?", url):
        return False
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return url.startswith("https:") or host in LOOPBACK


def _tls_problems(config: Config) -> list[str]:
    problems = []
    if bool(config.tls_certificate) != bool(config.tls_key):
        problems.append("REGISTRAR_TLS_CERTIFICATE and REGISTRAR_TLS_KEY: set both or neither")
    if config.mtls_listen and not config.tls_certificate:
        problems.append("REGISTRAR_MTLS_LISTEN: needs REGISTRAR_TLS_CERTIFICATE and REGISTRAR_TLS_KEY")
    if bool(config.mtls_listen) != bool(config.tls_client_ca):
        problems.append("REGISTRAR_MTLS_LISTEN and REGISTRAR_TLS_CLIENT_CA: set both or neither")
    if config.tls_certificate and config.tls_key:
        problems += _pair_problems(config)
    problems += _authority_problems("REGISTRAR_TLS_CLIENT_CA", config.tls_client_ca)
    if config.access_file and not _is_readable(config.access_file):
        problems.append(f"REGISTRAR_ACCESS_FILE: {config.access_file} cannot be read")
    return problems


def _pair_problems(config: Config) -> list[str]:
    from registrar_server.certificates import CertificateError, read_pair

    try:
        read_pair(config.tls_certificate, config.tls_key, datetime.now(UTC))
    except CertificateError as exc:
        name = "REGISTRAR_TLS_KEY" if exc.path == config.tls_key else "REGISTRAR_TLS_CERTIFICATE"
        return [f"{name}: {exc}"]
    return []


def _authority_problems(name: str, path: str) -> list[str]:
    if not path:
        return []
    from registrar_server.certificates import CertificateError, read_authorities

    try:
        read_authorities(path, datetime.now(UTC))
    except CertificateError as exc:
        return [f"{name}: {exc}"]
    return []


def _audit_problems(config: Config) -> list[str]:
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}", config.audit_origin):
        problems.append(
            f"REGISTRAR_AUDIT_ORIGIN: {config.audit_origin!r} is not 1 to 255 of A-Z a-z 0-9 . _ / -, "
            "beginning with a letter or digit"
        )
    if not re.fullmatch(r"([a-z0-9][a-z0-9.-]{2,62})?", config.audit_bucket):
        problems.append(f"REGISTRAR_AUDIT_BUCKET: {config.audit_bucket!r} is not the name of a bucket")
    if config.audit_retention_days and not config.audit_export_seconds:
        problems.append("REGISTRAR_AUDIT_RETENTION_DAYS: nothing is exported; set REGISTRAR_AUDIT_EXPORT_INTERVAL")
    return problems + _signing_key_problems(config.audit_signing_key_file)


def _signing_key_problems(path: str) -> list[str]:
    if not path:
        return []
    from registrar_server.signing_keys import SigningKeyError, read_signing_key

    try:
        read_signing_key(path)
    except SigningKeyError as exc:
        return [f"REGISTRAR_AUDIT_SIGNING_KEY_FILE: {exc}"]
    return []


def _is_readable(path: str) -> bool:
    try:
        Path(path).open("rb").close()
    except OSError:
        return False
    return True


def _backend_problems(config: Config) -> list[str]:
    # Uploads, downloads, and registrations that wait for MLflow.
    threads = 3 * config.transfer_slots + _SMALL_CALL_THREADS
    checks: list[tuple[Callable[[], bool], str]] = [
        (
            lambda: scheme_of(config.database_url) in ("sqlite", "postgresql"),
            "REGISTRAR_DATABASE_URL: must begin with sqlite:/// or postgresql://",
        ),
        (
            lambda: scheme_of(config.mlflow_tracking_uri) in ("sqlite", "postgresql", "http", "https"),
            "MLFLOW_TRACKING_URI: must begin with http://, https://, sqlite:/// or postgresql://",
        ),
        (
            lambda: re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{2,62}(/.*)?", config.artifact_root) is not None,
            f"MLFLOW_ARTIFACT_ROOT: {config.artifact_root!r} is not s3://bucket or s3://bucket/prefix",
        ),
        (
            lambda: re.fullmatch(r"(https?://[^/\s]+/?)?", config.s3_public_endpoint) is not None,
            f"REGISTRAR_S3_PUBLIC_ENDPOINT: {config.s3_public_endpoint!r} is not http(s)://host[:port]",
        ),
        (
            lambda: ADDRESS.fullmatch(config.metrics_listen or "host:0") is not None,
            f"REGISTRAR_METRICS_LISTEN: {config.metrics_listen!r} is not host:port",
        ),
        (
            lambda: re.fullmatch(r"(https?://[^/\s]+(/\S*)?)?", config.otlp_endpoint) is not None,
            f"OTEL_EXPORTER_OTLP_ENDPOINT: {hide_password(config.otlp_endpoint)!r} is not http(s)://host:port",
        ),
        (
            lambda: bool(config.s3_access_key) == bool(config.s3_secret_key),
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: set both or neither",
        ),
        (
            lambda: config.threads >= threads,
            (
                f"REGISTRAR_THREADS: {config.threads} threads are too few for {config.transfer_slots} transfer slots; "
                f"at least {threads}, so that transfers never hold up small calls"
            ),
        ),
        (
            lambda: (
                not config.is_s3_embedded
                or not config.mlflow_tracking_uri.startswith("http")
                or is_loopback(config.listen)
            ),
            "MLFLOW_ARTIFACT_ROOT: the embedded store is on loopback, where a remote MLflow cannot reach it",
        ),
        (
            lambda: bool(config.bulk_endpoint) or not is_every_address(config.bulk_listen),
            (
                f"REGISTRAR_BULK_ENDPOINT: needed when the bulk process listens on every address ({config.bulk_listen}): "
                "the host:port by which clients reach it"
            ),
        ),
        (
            lambda: not config.bulk_cores or bool(config.bulk_listen),
            "REGISTRAR_BULK_CORES: there is no bulk process; set REGISTRAR_BULK_LISTEN",
        ),
        (
            lambda: not config.bulk_cores or set(config.bulk_cores) < available_cores(),
            (
                f"REGISTRAR_BULK_CORES: must be some of this process's cores, and leave the workers one; "
                f"it has {', '.join(map(str, sorted(available_cores()))) or 'none to choose from'}"
            ),
        ),
    ]
    return [problem for holds, problem in checks if not holds()]
