"""The variables of the environment, each with its default, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from registrar_server.domain.values import DEFAULT_TENANT, TENANT_NAME

_CLIENT_VARIABLES = frozenset(
    {
        "REGISTRAR_SERVER",
        "REGISTRAR_TENANT",
        "REGISTRAR_TOKEN",
        "REGISTRAR_CA",
        "REGISTRAR_CLIENT_CERTIFICATE",
        "REGISTRAR_CLIENT_KEY",
    }
)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment: where its value goes, what it means, what holds when it is unset.

    That is `default`, or, where it depends on something else, what `otherwise` says.
    """

    field: str
    meaning: str
    default: str = ""
    otherwise: str = ""


KNOWN_VARIABLES: Mapping[str, Variable] = {
    "REGISTRAR_LISTEN": Variable("listen", "host:port to serve on; port 0: any free one", "127.0.0.1:50051"),
    "REGISTRAR_DATA_DIR": Variable(
        "data_dir", "directory of all that is embedded", otherwise="~/.local/share/registrar"
    ),
    "REGISTRAR_WORKERS": Variable("workers", "processes that answer calls", otherwise="one for each core"),
    "REGISTRAR_PIN_WORKERS": Variable(
        "pinning",
        "`true`: each worker answers small calls on one core; `false`: wherever the system puts it",
        otherwise="`true` where there is a worker for every core",
    ),
    "REGISTRAR_THREADS": Variable("threads", "threads in each worker", "32"),
    "REGISTRAR_TRANSFER_SLOTS": Variable(
        "transfer_slots", "uploads, and as many downloads, at once in each worker", "8"
    ),
    "REGISTRAR_STALL_SECONDS": Variable("stall_seconds", "how long a stream may stand still", "60"),
    "REGISTRAR_DRAIN_SECONDS": Variable("drain_seconds", "how long calls may go on when the server stops", "30"),
    "REGISTRAR_DATABASE_URL": Variable(
        "database_url", "sqlite:///… or postgresql://…", otherwise="registrar.db in the data directory"
    ),
    "REGISTRAR_TENANTS": Variable("tenants", "tenants that exist, with commas between", DEFAULT_TENANT),
    "REGISTRAR_TLS_CERTIFICATE": Variable(
        "tls_certificate", "PEM file of the server's certificate and those that lead to its root", otherwise="no TLS"
    ),
    "REGISTRAR_TLS_KEY": Variable("tls_key", "PEM file of its key, without a passphrase", otherwise="no TLS"),
    "REGISTRAR_TLS_CLIENT_CA": Variable(
        "tls_client_ca", "PEM file of those who sign client certificates", otherwise="none"
    ),
    "REGISTRAR_MTLS_LISTEN": Variable(
        "mtls_listen", "host:port for callers who show a client certificate", otherwise="none"
    ),
    "REGISTRAR_ALLOW_PLAINTEXT_NETWORK": Variable(
        "is_plaintext_network_allowed", "`true`: serve beyond loopback although nothing is encrypted", "false"
    ),
    "REGISTRAR_AUTHENTICATION": Variable(
        "authentication",
        "required, or none: everybody may do everything, on loopback only",
        otherwise="required beyond loopback, and where callers can say who they are",
    ),
    "REGISTRAR_OIDC_ISSUER": Variable(
        "oidc_issuer", "https://… of the OpenID provider whose tokens are taken", otherwise="none"
    ),
    "REGISTRAR_OIDC_AUDIENCE": Variable("oidc_audience", "audience that its tokens have to name", "registrar"),
    "REGISTRAR_OIDC_CLIENT_ID": Variable(
        "oidc_client_id", "client that `registrar login` is known by to the provider", otherwise="none"
    ),
    "REGISTRAR_OIDC_SCOPES": Variable(
        "oidc_scopes", "scopes that `registrar login` asks for", "openid profile email offline_access"
    ),
    "REGISTRAR_OIDC_ACTOR_CLAIM": Variable("oidc_actor_claim", "claim that names the caller", "sub"),
    "REGISTRAR_OIDC_GROUPS_CLAIM": Variable("oidc_groups_claim", "claim that lists the caller's groups", "groups"),
    "REGISTRAR_OIDC_TENANT_CLAIM": Variable(
        "oidc_tenant_claim", "claim that names the caller's tenant", otherwise="none"
    ),
    "REGISTRAR_OIDC_CLOCK_SKEW": Variable(
        "oidc_clock_skew_seconds", "seconds that the provider's clock may be off, 0 to 300", "30"
    ),
    "REGISTRAR_OIDC_CA_FILE": Variable(
        "oidc_ca_file", "PEM file of those who sign the provider's certificate", otherwise="public authorities"
    ),
    "REGISTRAR_ACCESS_FILE": Variable(
        "access_file", "YAML file of tenants, roles and bindings that hold from the start", otherwise="none"
    ),
    "REGISTRAR_AUDIT_ORIGIN": Variable(
        "audit_origin", "name of this registry in signed heads of the audit, such as registry.acme.example", "registrar"
    ),
    "REGISTRAR_AUDIT_SIGNING_KEY_FILE": Variable(
        "audit_signing_key_file",
        "PEM file of the Ed25519 key that signs heads of the audit; the same in all replicas",
        otherwise="with SQLite one made in the data directory, else heads are not signed",
    ),
    "REGISTRAR_AUDIT_EXPORT_INTERVAL": Variable(
        "audit_export_seconds", "seconds between exports of the audit to the store, to 86,400; 0: never", "300"
    ),
    "REGISTRAR_AUDIT_BUCKET": Variable(
        "audit_bucket", "bucket that the audit is exported to", otherwise="that of the artifact root"
    ),
    "REGISTRAR_AUDIT_RETENTION_DAYS": Variable(
        "audit_retention_days", "days that the store has to keep what is exported, to 36,500; 0: no lock", "0"
    ),
    "REGISTRAR_BULK_LISTEN": Variable(
        "bulk_listen", "host:port of a process of its own for uploads and downloads", otherwise="none"
    ),
    "REGISTRAR_BULK_ENDPOINT": Variable(
        "bulk_endpoint", "host:port that clients send transfers to", otherwise="the bulk process's"
    ),
    "REGISTRAR_BULK_CORES": Variable(
        "bulk_cores",
        "cores that the bulk process keeps to and workers keep off, such as 0-3,8",
        otherwise="all share all",
    ),
    "REGISTRAR_LOG_LEVEL": Variable("log_level", "debug, info, warning or error", "info"),
    "REGISTRAR_LOG_FORMAT": Variable("log_format", "json or console", otherwise="console on a terminal, else json"),
    "REGISTRAR_METRICS_LISTEN": Variable(
        "metrics_listen", "host:port where Prometheus reads /metrics; any address will do", otherwise="none"
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT": Variable(
        "otlp_endpoint", "http(s)://host:port that traces are sent to; other `OTEL_…` variables hold", otherwise="none"
    ),
    "OTEL_EXPORTER_OTLP_PROTOCOL": Variable("otlp_protocol", "grpc or http/protobuf", "grpc"),
    "MLFLOW_TRACKING_URI": Variable(
        "mlflow_tracking_uri",
        "MLflow: http://…, sqlite:///… or postgresql://…",
        otherwise="mlflow.db in the data directory",
    ),
    "MLFLOW_ARTIFACT_ROOT": Variable(
        "artifact_root", "s3://bucket/prefix for bundles and runs", otherwise="an embedded S3 store"
    ),
    "MLFLOW_S3_ENDPOINT_URL": Variable("s3_endpoint_url", "address of the S3 store", otherwise="AWS"),
    "REGISTRAR_S3_PUBLIC_ENDPOINT": Variable(
        "s3_public_endpoint",
        "address of the S3 store in presigned URLs, where readers need another",
        otherwise="the same",
    ),
    "AWS_ACCESS_KEY_ID": Variable("s3_access_key", "key of the S3 store", otherwise="the AWS chain"),
    "AWS_SECRET_ACCESS_KEY": Variable("s3_secret_key", "secret of the S3 store", otherwise="the AWS chain"),
    "AWS_REGION": Variable("s3_region", "region of the S3 store", otherwise="the store's"),
    "ML_REGISTRY_CACHE_TTL": Variable("cache_ttl_seconds", "seconds that an answer may be cached; 0: never", "300"),
}


class VariableReader:
    """Reads variables and collects what is wrong with them. An empty variable counts as unset."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        """As it stands, without white space around it; empty when unset and without a default."""
        return self._environment.get(name, "").strip() or _default_of(name)

    def number(self, name: str, least: int, most: int, otherwise: int | None = None) -> int:
        """A whole number from `least` to `most`; its default when it is none, `otherwise` where it has none."""
        text = self.text(name)
        if not text and otherwise is not None:
            return otherwise
        if re.fullmatch(r"\d{1,9}", text) and least <= int(text) <= most:
            return int(text)
        self.problems.append(f"{name}: {text!r} is not a whole number from {least} to {most}")
        return int(_default_of(name) or least)

    def flag(self, name: str) -> bool:
        """`true` or `1`, `false` or `0`."""
        return self.choice(name, ("true", "false", "1", "0")) in ("true", "1")

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the words, in lower case; its default when it is none."""
        text = self.text(name).lower()
        if text in allowed:
            return text
        self.problems.append(f"{name}: {text!r} is none of {', '.join(word for word in allowed if word)}")
        return _default_of(name)

    def tenants(self, name: str) -> tuple[str, ...]:
        """Names with commas between, the default tenant always first."""
        names = [part.strip() for part in self.text(name).split(",") if part.strip()]
        wrong = [tenant for tenant in names if not TENANT_NAME.fullmatch(tenant)]
        if wrong:
            self.problems.append(f"{name}: not names of tenants: {', '.join(wrong)}")
        return tuple(dict.fromkeys([DEFAULT_TENANT, *names]))

    def words(self, name: str) -> tuple[str, ...]:
        """Words with white space between."""
        return tuple(self.text(name).split())

    def cores(self, name: str) -> tuple[int, ...]:
        """Numbers and ranges with commas between, in order; none when it is unset."""
        found: set[int] = set()
        for part in filter(None, self.text(name).split(",")):
            matched = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
            cores = range(int(matched[1]), int(matched[2] or matched[1]) + 1) if matched else range(0)
            if not cores:
                self.problems.append(f"{name}: {part.strip()!r} is no core and no range of cores")
                return ()
            found.update(cores)
        return tuple(sorted(found))

    def refuse_unknown(self) -> None:
        """Note every `REGISTRAR_…` name that nobody reads: most are misspelt."""
        for name in sorted(self._environment):
            is_ours = name.startswith("REGISTRAR_") and not name.startswith("REGISTRAR_TEST_")
            if is_ours and name not in KNOWN_VARIABLES and name not in _CLIENT_VARIABLES:
                self.problems.append(f"{name}: there is no such variable; known: {', '.join(_own_names())}")


def _default_of(name: str) -> str:
    variable = KNOWN_VARIABLES.get(name)
    return variable.default if variable else ""


def _own_names() -> list[str]:
    return [name for name in KNOWN_VARIABLES if name.startswith("REGISTRAR_")]
