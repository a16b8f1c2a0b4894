"""The file that tells plain MLflow and S3 readers how to reach what this server uses: shell text, for `source`."""

from __future__ import annotations

import shlex
from pathlib import Path

from registrar_server.adapters.private_file import write_private
from registrar_server.config import Config
from registrar_server.domain.values import DEFAULT_TENANT


def mlflow_environment_file(config: Config) -> Path:
    """Where the file is, once MLflow is open."""
    return Path(config.data_dir) / "mlflow.env"


def write_mlflow_environment(config: Config) -> None:
    """Write the file, which holds the store's keys, for its owner alone."""
    values = {
        "MLFLOW_TRACKING_URI": config.mlflow_tracking_uri,
        "MLFLOW_S3_ENDPOINT_URL": config.s3_endpoint_url,
        "AWS_ACCESS_KEY_ID": config.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": config.s3_secret_key,
        "AWS_REGION": config.s3_region,
    }
    if not config.mlflow_tracking_uri.startswith("http"):
        # A tenant is a workspace, and a database that holds several cannot be opened without them.
        values |= {"MLFLOW_ENABLE_WORKSPACES": "true", "MLFLOW_WORKSPACE": DEFAULT_TENANT}
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items() if value)
    write_private(mlflow_environment_file(config), text)
