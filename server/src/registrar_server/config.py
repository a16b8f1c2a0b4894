"""Everything that can be configured, read from the environment in one place.

Names of MLflow, of AWS and of the reference platform keep their meaning; all others begin with `REGISTRAR_`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from registrar_server.cores import available_cores, usable_cores
from registrar_server.variables import VariableReader

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_SMALL_CALL_THREADS = 4
_MOST_WORKERS = 64
_ADDRESS = r"(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}"
_EMBEDDED_BUCKET = "ml-artifacts"
_SECRETS = frozenset({"s3_secret_key"})
_URLS = frozenset({"database_url", "mlflow_tracking_uri", "otlp_endpoint"})


class ConfigError(Exception):
    """What is wrong with the configuration, every problem on a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """What is in force. An empty `s3_endpoint_url` is AWS, or the embedded store when `is_s3_embedded`."""

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
    is_open_network_allowed: bool
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
    def host(self) -> str:
        """Host of `listen`."""
        return split_address(self.listen)[0]

    @property
    def port(self) -> int:
        """Port of `listen`."""
        return split_address(self.listen)[1]

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
        return cls(**{**values, "tenants": tuple(values["tenants"]), "bulk_cores": tuple(values["bulk_cores"])})

    def shown(self) -> dict[str, str]:
        """Every field as text for people: secrets as ***, addresses without their passwords."""
        shown: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _SECRETS and value:
                value = "***"
            elif field.name in _URLS:
                value = hide_password(value)
            shown[field.name] = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
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
        "is_open_network_allowed": reader.flag("REGISTRAR_ALLOW_UNAUTHENTICATED_NETWORK"),
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
    reader.problems += _contradictions(config)
    if reader.problems:
        raise ConfigError(reader.problems)
    return config


def read_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return dict(os.environ)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 when it names none."""
    host, _, port = address.rpartition(":")
    return host, int(port) if port.isdecimal() else 0


def hide_password(url: str) -> str:
    """An address with *** for its password, whether it stands before the host or in the query."""
    without = re.sub(r"(//[^/@]*?:)[^/]*@", r"\1***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", r"\1***", without)


def _otlp_endpoint(reader: VariableReader) -> str:
    """Where traces go, by OpenTelemetry's own rules; empty: nowhere."""
    is_off = reader.text("OTEL_SDK_DISABLED").lower() == "true" or reader.text("OTEL_TRACES_EXPORTER") == "none"
    named = reader.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or reader.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    return "" if is_off else named


def _otlp_protocol(reader: VariableReader) -> str:
    of_traces = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    name = of_traces if reader.text(of_traces) else "OTEL_EXPORTER_OTLP_PROTOCOL"
    return reader.choice(name, ("grpc", "http/protobuf"))


def _scheme(url: str) -> str:
    """Its scheme without a driver; empty for what is no address."""
    try:
        return urlsplit(url).scheme.split("+")[0]
    except ValueError:
        return ""


def _default_data_dir(environment: Mapping[str, str]) -> str:
    base = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME") or "~") / ".local" / "share")
    return str(Path(base) / "registrar")


def _contradictions(config: Config) -> list[str]:
    # Uploads, downloads, and registrations that wait for MLflow.
    threads = 3 * config.transfer_slots + _SMALL_CALL_THREADS
    checks: list[tuple[Callable[[], bool], str]] = [
        (
            lambda: _scheme(config.database_url) in ("sqlite", "postgresql"),
            "REGISTRAR_DATABASE_URL: must begin with sqlite:/// or postgresql://",
        ),
        (
            lambda: _scheme(config.mlflow_tracking_uri) in ("sqlite", "postgresql", "http", "https"),
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
            lambda: re.fullmatch(_ADDRESS, config.metrics_listen or "host:0") is not None,
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
                or config.host in LOOPBACK
            ),
            "MLFLOW_ARTIFACT_ROOT: the embedded store is on loopback, where a remote MLflow cannot reach it",
        ),
        (
            lambda: bool(config.bulk_endpoint) or not _is_every_address(config.bulk_listen),
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
    problems = _address_problems("listen", config.listen, config)
    if config.bulk_listen:
        problems += _address_problems("bulk-listen", config.bulk_listen, config)
    return problems + [problem for holds, problem in checks if not holds()]


def _address_problems(option: str, address: str, config: Config) -> list[str]:
    if not re.fullmatch(_ADDRESS, address):
        return [f"{option}: {address!r} is not host:port"]
    if split_address(address)[0] in LOOPBACK or config.is_open_network_allowed:
        return []
    return [
        (
            f"{option}: {address} is not loopback, and callers are not authenticated: whoever reaches it may "
            "do anything. Listen on 127.0.0.1, or set REGISTRAR_ALLOW_UNAUTHENTICATED_NETWORK=true "
            "(--allow-unauthenticated-network) where the network itself keeps strangers out"
        )
    ]


def _is_every_address(address: str) -> bool:
    """Whether its host stands for all addresses of the machine, which is none that a client could call."""
    try:
        return ip_address(split_address(address)[0].strip("[]")).is_unspecified
    except ValueError:
        return False
