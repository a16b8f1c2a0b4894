"""Everything that can be configured, read from the environment in one place.

Names of MLflow, of AWS and of the reference platform keep their meaning; all others begin with `REGISTRAR_`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from registrar_server.addresses import hide_password, is_loopback
from registrar_server.contradictions import contradictions
from registrar_server.cores import available_cores, usable_cores
from registrar_server.variables import VariableReader

NONE = "none"
REQUIRED = "required"
_MOST_WORKERS = 64
_EMBEDDED_BUCKET = "ml-artifacts"
_SECRETS = frozenset({"s3_secret_key"})
_URLS = frozenset({"database_url", "mlflow_tracking_uri", "oidc_issuer", "otlp_endpoint"})
_TUPLES = ("tenants", "bulk_cores", "oidc_scopes")


class ConfigError(Exception):
    """What is wrong with the configuration, every problem on a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """What is in force. An empty `s3_endpoint_url` is AWS, or the embedded store when `is_s3_embedded`.

    `authentication` is `required` or `none`.
    """

    listen: str
    data_dir: str
    workers: int
    pinning: str
    threads: int
    transfer_slots: int
    stall_seconds: float
    drain_seconds: float
    database_url: str
    tenants: tuple[str, ...]
    tls_certificate: str
    tls_key: str
    tls_client_ca: str
    mtls_listen: str
    is_plaintext_network_allowed: bool
    authentication: str
    oidc_issuer: str
    oidc_audience: str
    oidc_client_id: str
    oidc_scopes: tuple[str, ...]
    oidc_actor_claim: str
    oidc_groups_claim: str
    oidc_tenant_claim: str
    oidc_clock_skew_seconds: int
    oidc_ca_file: str
    access_file: str
    audit_origin: str
    audit_signing_key_file: str
    audit_export_seconds: float
    audit_bucket: str
    audit_retention_days: int
    bulk_listen: str
    bulk_endpoint: str
    bulk_cores: tuple[int, ...]
    log_level: str
    log_format: str
    mlflow_tracking_uri: str
    artifact_root: str
    is_s3_embedded: bool
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    s3_public_endpoint: str
    cache_ttl_seconds: float
    metrics_listen: str
    otlp_endpoint: str
    otlp_protocol: str

    def __repr__(self) -> str:
        """As it is shown: a traceback that prints it tells no secret."""
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    @property
    def worker_cores(self) -> tuple[int, ...]:
        """Cores that workers may run on, of those that this process has now; none where the system chooses."""
        return tuple(sorted(available_cores() - set(self.bulk_cores)))

    @property
    def are_workers_pinned(self) -> bool:
        """Whether each worker keeps to one core: unless said otherwise, where there is one for every core."""
        if self.pinning:
            return self.pinning == "true"
        return self.workers == len(self.worker_cores) == usable_cores()

    @property
    def is_tls(self) -> bool:
        """Whether calls to `listen` and to the bulk process are encrypted."""
        return bool(self.tls_certificate)

    @property
    def is_authentication_required(self) -> bool:
        """Whether callers have to say who they are."""
        return self.authentication == REQUIRED

    @property
    def listens(self) -> tuple[str, ...]:
        """Every address where calls are answered, as `host:port`."""
        return tuple(filter(None, (self.listen, self.bulk_listen, self.mtls_listen)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and dangerous all the same."""
        if self.is_tls:
            return ()
        return tuple(
            f"{address} is not loopback, and nothing is encrypted: whoever is on the way reads tokens and models, "
            "and can act with those tokens"
            for address in self.listens
            if not is_loopback(address)
        )

    @property
    def is_signing_key_made(self) -> bool:
        """Whether the server makes the key that signs heads: where all that it serves is on this machine.

        Replicas that each made one of their own would sign the same audit with different keys.
        """
        return not self.audit_signing_key_file and self.database_url.startswith("sqlite")

    @property
    def bucket(self) -> str:
        """Bucket of the artifact root."""
        return urlsplit(self.artifact_root).netloc

    @property
    def prefix(self) -> str:
        """Prefix of the artifact root in its bucket, without slashes at its ends."""
        return urlsplit(self.artifact_root).path.strip("/")

    def to_json(self) -> str:
        """For a child process; holds secrets."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Config:
        """What `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, **{name: tuple(values[name]) for name in _TUPLES}})

    def shown(self) -> dict[str, str]:
        """Every field as text for people: secrets as ***, addresses without their passwords."""
        shown: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _SECRETS and value:
                value = "***"
            elif field.name in _URLS:
                value = hide_password(value)
            # As they are written in the environment.
            separator = " " if field.name == "oidc_scopes" else ", "
            shown[field.name] = separator.join(map(str, value)) if isinstance(value, tuple) else str(value)
        return shown


def load_config(environment: Mapping[str, str], **overrides: object) -> Config:
    """The configuration of an environment; `overrides` are fields that the command line gave (None: not given).

    Raises `ConfigError` with every problem at once.
    """
    reader = VariableReader(environment)
    given = {name: value for name, value in overrides.items() if value is not None}
    data_dir = str(given.pop("data_dir", None) or reader.text("REGISTRAR_DATA_DIR") or _default_data_dir(environment))
    data = Path(data_dir).expanduser().absolute()
    artifact_root = reader.text("MLFLOW_ARTIFACT_ROOT")
    endpoint_url = reader.text("MLFLOW_S3_ENDPOINT_URL")
    is_embedded = not artifact_root and not endpoint_url
    values: dict[str, object] = {
        "listen": reader.text("REGISTRAR_LISTEN"),
        "data_dir": str(data),
        "workers": reader.number("REGISTRAR_WORKERS", 1, _MOST_WORKERS, min(_MOST_WORKERS, usable_cores())),
        "pinning": reader.choice("REGISTRAR_PIN_WORKERS", ("", "true", "false")),
        "threads": reader.number("REGISTRAR_THREADS", 4, 512),
        "transfer_slots": reader.number("REGISTRAR_TRANSFER_SLOTS", 1, 256),
        "stall_seconds": float(reader.number("REGISTRAR_STALL_SECONDS", 1, 3600)),
        "drain_seconds": float(reader.number("REGISTRAR_DRAIN_SECONDS", 0, 3600)),
        "database_url": reader.text("REGISTRAR_DATABASE_URL") or f"sqlite:///{data / 'registrar.db'}",
        "tenants": reader.tenants("REGISTRAR_TENANTS"),
        "tls_certificate": reader.text("REGISTRAR_TLS_CERTIFICATE"),
        "tls_key": reader.text("REGISTRAR_TLS_KEY"),
        "tls_client_ca": reader.text("REGISTRAR_TLS_CLIENT_CA"),
        "mtls_listen": reader.text("REGISTRAR_MTLS_LISTEN"),
        "is_plaintext_network_allowed": reader.flag("REGISTRAR_ALLOW_PLAINTEXT_NETWORK"),
        "authentication": reader.choice("REGISTRAR_AUTHENTICATION", ("", NONE, REQUIRED)),
        "oidc_issuer": reader.text("REGISTRAR_OIDC_ISSUER"),
        "oidc_audience": reader.text("REGISTRAR_OIDC_AUDIENCE"),
        "oidc_client_id": reader.text("REGISTRAR_OIDC_CLIENT_ID"),
        "oidc_scopes": reader.words("REGISTRAR_OIDC_SCOPES"),
        "oidc_actor_claim": reader.text("REGISTRAR_OIDC_ACTOR_CLAIM"),
        "oidc_groups_claim": reader.text("REGISTRAR_OIDC_GROUPS_CLAIM"),
        "oidc_tenant_claim": reader.text("REGISTRAR_OIDC_TENANT_CLAIM"),
        "oidc_clock_skew_seconds": reader.number("REGISTRAR_OIDC_CLOCK_SKEW", 0, 300),
        "oidc_ca_file": reader.text("REGISTRAR_OIDC_CA_FILE"),
        "access_file": reader.text("REGISTRAR_ACCESS_FILE"),
        "audit_origin": reader.text("REGISTRAR_AUDIT_ORIGIN"),
        "audit_signing_key_file": reader.text("REGISTRAR_AUDIT_SIGNING_KEY_FILE"),
        "audit_export_seconds": float(reader.number("REGISTRAR_AUDIT_EXPORT_INTERVAL", 0, 86_400)),
        "audit_bucket": reader.text("REGISTRAR_AUDIT_BUCKET"),
        "audit_retention_days": reader.number("REGISTRAR_AUDIT_RETENTION_DAYS", 0, 36_500),
        "bulk_listen": reader.text("REGISTRAR_BULK_LISTEN"),
        "bulk_endpoint": reader.text("REGISTRAR_BULK_ENDPOINT"),
        "bulk_cores": reader.cores("REGISTRAR_BULK_CORES"),
        "log_level": reader.choice("REGISTRAR_LOG_LEVEL", ("debug", "info", "warning", "error")),
        "log_format": reader.choice("REGISTRAR_LOG_FORMAT", ("", "json", "console")),
        "mlflow_tracking_uri": reader.text("MLFLOW_TRACKING_URI") or f"sqlite:///{data / 'mlflow.db'}",
        "artifact_root": (artifact_root or f"s3://{_EMBEDDED_BUCKET}").rstrip("/"),
        "is_s3_embedded": is_embedded,
        "s3_endpoint_url": endpoint_url,
        "s3_access_key": "" if is_embedded else reader.text("AWS_ACCESS_KEY_ID"),
        "s3_secret_key": "" if is_embedded else reader.text("AWS_SECRET_ACCESS_KEY"),
        "s3_region": reader.text("AWS_REGION") or reader.text("AWS_DEFAULT_REGION"),
        "s3_public_endpoint": reader.text("REGISTRAR_S3_PUBLIC_ENDPOINT"),
        "cache_ttl_seconds": float(reader.number("ML_REGISTRY_CACHE_TTL", 0, 86_400)),
        "metrics_listen": reader.text("REGISTRAR_METRICS_LISTEN"),
        "otlp_endpoint": _otlp_endpoint(reader),
        "otlp_protocol": _otlp_protocol(reader),
    }
    values.update(given)
    reader.refuse_unknown()
    config = Config(**values)  # type: ignore[arg-type]
    reader.problems += contradictions(config)
    if reader.problems:
        raise ConfigError(reader.problems)
    return replace(config, authentication=config.authentication or _authentication(config))


def read_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return dict(os.environ)


def _authentication(config: Config) -> str:
    """What holds where nobody says it: nobody is asked where only this machine calls, and has no means to answer."""
    is_open = not any((config.oidc_issuer, config.mtls_listen, config.access_file))
    return NONE if is_open and all(map(is_loopback, config.listens)) else REQUIRED


def _otlp_endpoint(reader: VariableReader) -> str:
    """Where traces go, by OpenTelemetry's own rules; empty: nowhere."""
    is_off = reader.text("OTEL_SDK_DISABLED").lower() == "true" or reader.text("OTEL_TRACES_EXPORTER") == "none"
    named = reader.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or reader.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    return "" if is_off else named


def _otlp_protocol(reader: VariableReader) -> str:
    of_traces = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    name = of_traces if reader.text(of_traces) else "OTEL_EXPORTER_OTLP_PROTOCOL"
    return reader.choice(name, ("grpc", "http/protobuf"))


def _default_data_dir(environment: Mapping[str, str]) -> str:
    base = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME") or "~") / ".local" / "share")
    return str(Path(base) / "registrar")
