"""What `registrar serve` prints when it serves: where things are, and commands that work as pasted."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from registrar_server.config import Config
from registrar_server.mlflow_environment import mlflow_environment_file

# The snippets begin at the margin, so that they work as pasted: a shell finds the end of an indented text nowhere.
_FACTS = """
  Registrar is serving on {listen}  (ready in {seconds:.1f} s; Ctrl-C stops it)

  database   {database}
  MLflow     {mlflow}
  bundles    {bundles} at {store}
  data       {data}
  transfers  {transfers}
  metrics    {metrics}
  network    {network}
  callers    {callers}

  Plain MLflow and S3 readers:   source {environment}
  (it is there when MLflow is, some seconds from now)
"""
_AUTHORITY = """
  Who has signed the server's certificate, where that is no public authority:

export REGISTRAR_CA=ca.pem
"""
_LOGIN = """
  A first token, of an administrator, for an hour:

export REGISTRAR_TOKEN=$({registrar} bootstrap-token --data {data})
"""
_CALLS = """
  With grpcurl:

grpcurl {options}{listen} registrar.v1.AdminService/GetServerInfo

  With Python:

{python} - <<'END'
import registrar

with registrar.connect("{target}") as registry:
    print("Registrar", registry.server_info().server_version)
    for model in registry.models():
        print(model.name, "version", model.latest_version, "production", model.production_version)
END
"""


def welcome(config: Config, seconds: float) -> str:
    """The text, for a server that has become ready after so many seconds."""
    shown = config.shown()
    template = _FACTS
    template += _AUTHORITY if config.is_tls else ""
    template += _LOGIN if config.is_authentication_required else ""
    return (template + _CALLS).format(
        listen=config.listen,
        seconds=seconds,
        database=shown["database_url"],
        mlflow=shown["mlflow_tracking_uri"],
        bundles=config.artifact_root,
        store=config.s3_endpoint_url or "AWS",
        data=shlex.quote(config.data_dir),
        transfers=f"{config.bulk_listen}, in a process of their own" if config.bulk_listen else config.listen,
        metrics=f"http://{config.metrics_listen}/metrics" if config.metrics_listen else "none",
        network="TLS 1.2 and 1.3" if config.is_tls else "not encrypted",
        callers=_callers(config),
        environment=shlex.quote(str(mlflow_environment_file(config))),
        registrar=shlex.quote(str(Path(sys.executable).parent / "registrar")),
        python=shlex.quote(sys.executable),
        options=_grpcurl_options(config),
        target=f"grpcs://{config.listen}" if config.is_tls else config.listen,
    )


def _callers(config: Config) -> str:
    if not config.is_authentication_required:
        return "everybody on this machine may do everything"
    kinds = ["API tokens"]
    kinds += [f"tokens of {config.shown()['oidc_issuer']}"] if config.oidc_issuer else []
    kinds += [f"client certificates on {config.mtls_listen}"] if config.mtls_listen else []
    return f"known by {', '.join(kinds)}"


def _grpcurl_options(config: Config) -> str:
    encryption = '${REGISTRAR_CA:+-cacert "$REGISTRAR_CA"} ' if config.is_tls else "-plaintext "
    token = '-H "authorization: Bearer $REGISTRAR_TOKEN" ' if config.is_authentication_required else ""
    return encryption + token
