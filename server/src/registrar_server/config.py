"""Everything that can be configured, read from the environment in one place.

Names of MLflow, of AWS and of the reference platform keep their meaning; all others begin with `REGISTRAR_`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from registrar_server.domain.values import DEFAULT_TENANT, TENANT_NAME

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_EMBEDDED_BUCKET = "ml-artifacts"
_SECRETS = frozenset({"s3_secret_key"})
_URLS = frozenset({"database_url", "mlflow_tracking_uri"})
_CLIENT_VARIABLES = frozenset({"REGISTRAR_SERVER", "REGISTRAR_TENANT", "REGISTRAR_TOKEN"})


class ConfigError(Exception):
    """What is wrong with the configuration, every problem on a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment: where its value goes, what it means, what it is when unset."""

    field: str
    meaning: str
    default: str


KNOWN_VARIABLES: Mapping[str, Variable] = {
    "REGISTRAR_LISTEN": Variable("listen", "host:port to serve on; port 0: any free one", "127.0.0.1:50051"),
    "REGISTRAR_DATA_DIR": Variable("data_dir", "directory of all that is embedded", "~/.local/share/registrar"),
    "REGISTRAR_WORKERS": Variable("workers", "processes that answer calls", "1"),
    "REGISTRAR_THREADS": Variable("threads", "threads in each worker", "32"),
    "REGISTRAR_TRANSFER_SLOTS": Variable("transfer_slots", "uploads and downloads at once in each worker", "8"),
    "REGISTRAR_STALL_SECONDS": Variable("stall_seconds", "how long a stream may stand still", "60"),
    "REGISTRAR_DRAIN_SECONDS": Variable("drain_seconds", "how long calls may go on when the server stops", "30"),
    "REGISTRAR_DATABASE_URL": Variable(
        "database_url", "sqlite:///… or postgresql://…", "registrar.db in the data directory"
    ),
    "REGISTRAR_TENANTS": Variable("tenants", "tenants that exist, with commas between", DEFAULT_TENANT),
    "REGISTRAR_ALLOW_UNAUTHENTICATED_NETWORK": Variable(
        "is_open_network_allowed", "`true`: serve beyond loopback although nobody is authenticated", "false"
    ),
    "REGISTRAR_BULK_ENDPOINT": Variable("bulk_endpoint", "host:port that clients send transfers to", "none"),
    "REGISTRAR_LOG_LEVEL": Variable("log_level", "debug, info, warning or error", "info"),
    "REGISTRAR_LOG_FORMAT": Variable("log_format", "json or console", "console on a terminal, else json"),
    "MLFLOW_TRACKING_URI": Variable(
        "mlflow_tracking_uri", "MLflow: http://…, sqlite:///… or postgresql://…", "mlflow.db in the data directory"
    ),
    "MLFLOW_ARTIFACT_ROOT": Variable(
        "artifact_root", "s3://bucket/prefix for bundles and runs", "an embedded S3 store"
    ),
    "MLFLOW_S3_ENDPOINT_URL": Variable("s3_endpoint_url", "address of the S3 store", "AWS"),
    "AWS_ACCESS_KEY_ID": Variable("s3_access_key", "key of the S3 store", "the AWS chain"),
    "AWS_SECRET_ACCESS_KEY": Variable("s3_secret_key", "secret of the S3 store", "the AWS chain"),
    "AWS_REGION": Variable("s3_region", "region of the S3 store", "the store's"),
    "ML_REGISTRY_CACHE_TTL": Variable("cache_ttl_seconds", "seconds that an answer may be cached; 0: never", "300"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """What is in force. An empty `s3_endpoint_url` is AWS, or the embedded store when `is_s3_embedded`."""

    listen: str
    data_dir: str
    workers: int
    threads: int
    transfer_slots: int
    stall_seconds: float
    drain_seconds: float
    database_url: str
    tenants: tuple[str, ...]
    is_open_network_allowed: bool
    bulk_endpoint: str
    log_level: str
    log_format: str
    mlflow_tracking_uri: str
    artifact_root: str
    is_s3_embedded: bool
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    cache_ttl_seconds: float

    def __repr__(self) -> str:
        """As it is shown: a traceback that prints it tells no secret."""
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    @property
    def host(self) -> str:
        """Host of `listen`."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Port of `listen`."""
        return int(self.listen.rpartition(":")[2])

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
        return cls(**{**values, "tenants": tuple(values["tenants"])})

    def shown(self) -> dict[str, str]:
        """Every field as text for people: secrets as ***, addresses without their passwords."""
        shown: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _SECRETS and value:
                value = "***"
            elif field.name in _URLS:
                value = hide_password(value)
            shown[field.name] = ", ".join(value) if isinstance(value, tuple) else str(value)
        return shown


def load_config(environment: Mapping[str, str], **overrides: object) -> Config:
    """The configuration of an environment; `overrides` are fields that the command line gave (None: not given).

    Raises `ConfigError` with every problem at once.
    """
    reader = _Reader(environment)
    given = {name: value for name, value in overrides.items() if value is not None}
    data_dir = str(given.pop("data_dir", None) or reader.text("REGISTRAR_DATA_DIR") or _default_data_dir(environment))
    data = Path(data_dir).expanduser().absolute()
    artifact_root = reader.text("MLFLOW_ARTIFACT_ROOT")
    endpoint_url = reader.text("MLFLOW_S3_ENDPOINT_URL")
    is_embedded = not artifact_root and not endpoint_url
    values: dict[str, object] = {
        "listen": reader.text("REGISTRAR_LISTEN", "127.0.0.1:50051"),
        "data_dir": str(data),
        "workers": reader.number("REGISTRAR_WORKERS", 1, 1, 64),
        "threads": reader.number("REGISTRAR_THREADS", 32, 4, 512),
        "transfer_slots": reader.number("REGISTRAR_TRANSFER_SLOTS", 8, 1, 256),
        "stall_seconds": float(reader.number("REGISTRAR_STALL_SECONDS", 60, 1, 3600)),
        "drain_seconds": float(reader.number("REGISTRAR_DRAIN_SECONDS", 30, 0, 3600)),
        "database_url": reader.text("REGISTRAR_DATABASE_URL") or f"sqlite:///{data / 'registrar.db'}",
        "tenants": reader.tenants("REGISTRAR_TENANTS"),
        "is_open_network_allowed": reader.flag("REGISTRAR_ALLOW_UNAUTHENTICATED_NETWORK"),
        "bulk_endpoint": reader.text("REGISTRAR_BULK_ENDPOINT"),
        "log_level": reader.choice("REGISTRAR_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        "log_format": reader.choice("REGISTRAR_LOG_FORMAT", "", ("", "json", "console")),
        "mlflow_tracking_uri": reader.text("MLFLOW_TRACKING_URI") or f"sqlite:///{data / 'mlflow.db'}",
        "artifact_root": (artifact_root or f"s3://{_EMBEDDED_BUCKET}").rstrip("/"),
        "is_s3_embedded": is_embedded,
        "s3_endpoint_url": endpoint_url,
        "s3_access_key": "" if is_embedded else reader.text("AWS_ACCESS_KEY_ID"),
        "s3_secret_key": "" if is_embedded else reader.text("AWS_SECRET_ACCESS_KEY"),
        "s3_region": reader.text("AWS_REGION") or reader.text("AWS_DEFAULT_REGION"),
        "cache_ttl_seconds": float(reader.number("ML_REGISTRY_CACHE_TTL", 300, 0, 86_400)),
    }
    values.update(given)
    reader.refuse_unknown()
    config = Config(**values)  # type: ignore[arg-type]
    reader.problems += _contradictions(config)
    if reader.problems:
        raise ConfigError(reader.problems)
    return config


def hide_password(url: str) -> str:
    """An address with *** for its password, whether it stands before the host or in the query."""
    without = re.sub(r"(//[^/@]*?:)[^/]*@", r"\1***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", r"\1***", without)


def _scheme(url: str) -> str:
    """Its scheme without a driver; empty for what is no address."""
    try:
        return urlsplit(url).scheme.split("+")[0]
    except ValueError:
        return ""


def _default_data_dir(environment: Mapping[str, str]) -> str:
    base = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME") or "~") / ".local" / "share")
    return str(Path(base) / "registrar")


class _Reader:
    """Reads variables and collects problems. An empty variable counts as unset."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self._environment.get(name, "").strip() or default

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if re.fullmatch(r"\d{1,9}", text) and least <= int(text) <= most:
            return int(text)
        self.problems.append(f"{name}: {text!r} is not a whole number from {least} to {most}")
        return default

    def flag(self, name: str) -> bool:
        return self.choice(name, "false", ("true", "false", "1", "0")) in ("true", "1")

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        text = self.text(name, default).lower()
        if text in allowed:
            return text
        self.problems.append(f"{name}: {text!r} is none of {', '.join(word for word in allowed if word)}")
        return default

    def tenants(self, name: str) -> tuple[str, ...]:
        names = [part.strip() for part in self.text(name, DEFAULT_TENANT).split(",") if part.strip()]
        wrong = [tenant for tenant in names if not TENANT_NAME.fullmatch(tenant)]
        if wrong:
            self.problems.append(f"{name}: not names of tenants: {', '.join(wrong)}")
        return tuple(dict.fromkeys([DEFAULT_TENANT, *names]))

    def refuse_unknown(self) -> None:
        for name in sorted(self._environment):
            is_ours = name.startswith("REGISTRAR_") and not name.startswith("REGISTRAR_TEST_")
            if is_ours and name not in KNOWN_VARIABLES and name not in _CLIENT_VARIABLES:
                self.problems.append(f"{name}: there is no such variable; known: {', '.join(_own_names())}")


def _own_names() -> list[str]:
    return [name for name in KNOWN_VARIABLES if name.startswith("REGISTRAR_")]


def _contradictions(config: Config) -> list[str]:
    checks: list[tuple[Callable[[], bool], str]] = [
        (
            lambda: re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}", config.listen) is not None,
            f"listen: {config.listen!r} is not host:port",
        ),
        (
            lambda: config.host in LOOPBACK or config.is_open_network_allowed,
            (
                f"listen: {config.listen} is not loopback, and callers are not authenticated: whoever reaches it may "
                "do anything. Listen on 127.0.0.1, or set REGISTRAR_ALLOW_UNAUTHENTICATED_NETWORK=true "
                "(--allow-unauthenticated-network) where the network itself keeps strangers out"
            ),
        ),
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
            lambda: bool(config.s3_access_key) == bool(config.s3_secret_key),
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: set both or neither",
        ),
        (
            lambda: config.threads >= 2 * config.transfer_slots + 4,
            (
                f"REGISTRAR_THREADS: {config.threads} threads are too few for {config.transfer_slots} transfer slots; "
                f"at least {2 * config.transfer_slots + 4}, so that transfers never hold up small calls"
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
    ]
    return [problem for holds, problem in checks if not holds()]


def read_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return dict(os.environ)
